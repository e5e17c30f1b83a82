"""A TCP relay on loopback that can fail: reset connections, refuse them, or fall silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class TcpLink:
    """Between clients and one server."""

    def __init__(self, url: str) -> None:
        self.connections = 0
        """How many were accepted so far."""
        self._target = _authority(url)
        self._refuses = False
        self._live: set[tuple[asyncio.StreamWriter, asyncio.Event]] = set()

    def lead_to(self, url: str) -> None:
        """New connections go to another server: what clients see when theirs was restarted."""
        self._target = _authority(url)
        self.cut()

    def cut(self) -> None:
        """Reset every connection there is; new ones work."""
        for writer, _ in self._live:
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset every connection, and every new one until `mend`."""
        self._refuses = True
        self.cut()

    def mend(self) -> None:
        """New connections work again."""
        self._refuses = False

    def freeze(self) -> None:
        """Pass nothing more on over the connections there are, and never close them."""
        for _, passes in self._live:
            passes.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.connections += 1
        if self._refuses:
            writer.transport.abort()
            return
        passes = asyncio.Event()
        passes.set()
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends = {(writer, passes), (far_writer, passes)}
            self._live |= ends
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_pump(reader, far_writer, passes))
                    tasks.create_task(_pump(far_reader, writer, passes))
            finally:
                self._live -= ends
                writer.transport.abort()
                far_writer.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            await passes.wait()
            writer.write(data)
            await writer.drain()
    await passes.wait()
    writer.close()


def _authority(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@asynccontextmanager
async def tcp_link(url: str) -> AsyncIterator[tuple[TcpLink, str]]:
    """A link to the server at *url*, and the address at which that is reached through it."""
    link = TcpLink(url)
    accepted: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as tasks:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = tasks.create_task(link.serve(reader, writer))
            accepted.add(task)
            task.add_done_callback(accepted.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield link, urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{port}"))
        finally:
            server.close()
            for task in list(accepted):
                task.cancel()
