"""RTMP servers on loopback for tests: nginx with its RTMP module, and some that misbehave."""

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.frozen import freeze, thaw

READY_WITHIN_S = 10.0
_CONFIGURATION = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1; {user}
pid {directory}/nginx.pid; error_log {directory}/error.log info;
events {{ worker_connections 64; }}
rtmp {{ server {{
  listen 127.0.0.1:{port}; chunk_size 4096; ping 2s; ping_timeout 30s;
  application live {{
    live on; record all; record_path {directory}/received; record_unique on;
  }}
  application denied {{ live on; deny publish all; }}
}} }}
"""


class RtmpServer:
    """One nginx that records what is published to `live` and refuses `denied`."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None
        (directory / "received").mkdir(parents=True)
        text = _CONFIGURATION.format(
            directory=directory,
            port=self.port,
            # nginx gives up being root unless told, and could not write then.
            user="user root;" if os.geteuid() == 0 else "",
        )
        (directory / "nginx.conf").write_text(text, encoding="utf-8")

    def url(self, key: str, app: str = "live") -> str:
        return f"rtmp://127.0.0.1:{self.port}/{app}/{key}"

    async def start(self) -> None:
        """Start (again, on the same port), and wait until it listens."""
        with (self._directory / "nginx.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("/usr/sbin/nginx", "-p", str(self._directory)),
                *("-c", str(self._directory / "nginx.conf")),
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(READY_WITHIN_S):
            while not await _listens(self.port):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """As a power cut would: files are as far as they were written."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def freeze(self) -> None:
        freeze(self._running.pid)

    def thaw(self) -> None:
        thaw(self._running.pid)

    def received(self, key: str) -> list[Path]:
        """What was recorded under *key*, one file per connection, in order."""
        found = (self._directory / "received").glob(f"{key}-*.flv")
        return sorted((path for path in found if path.stat().st_size > 13), key=lambda p: p.name)

    async def written(self) -> None:
        """Wait until whoever published is gone, and what came of them is in its file."""
        process = self._running
        async with asyncio.timeout(READY_WITHIN_S):
            while _open_under(process.pid, self._directory / "received"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process


@asynccontextmanager
async def rtmp_server(directory: Path, *, running: bool = True) -> AsyncIterator[RtmpServer]:
    """A server that is killed on leaving; not *running*, it can be started later."""
    server = RtmpServer(directory)
    try:
        if running:
            await server.start()
        yield server
    finally:
        await server.kill()


class BlackHole:
    """Accepts every connection and never says a word."""

    def __init__(self) -> None:
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def connections(self) -> int:
        """How many were accepted so far."""
        return len(self._writers)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def black_hole() -> AsyncIterator[BlackHole]:
    """A server that only accepts."""
    hole = BlackHole()
    server = await asyncio.start_server(hole.accept, "127.0.0.1", 0)
    hole.port = server.sockets[0].getsockname()[1]
    try:
        yield hole
    finally:
        server.close()
        hole.abort()


@asynccontextmanager
async def narrow_link(port: int, bytes_per_s: int) -> AsyncIterator[int]:
    """A port that leads to *port*, with room for so much a second toward it."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(max(1, bytes_per_s // 20)):
            writer.write(data)
            await asyncio.sleep(len(data) / bytes_per_s)
        writer.close()

    # Little is buffered on the way, so that the sender feels the link at once.
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    async with _forwarding(listening, port, forward, limit=8192) as front:
        yield front


@asynccontextmanager
async def tls_front(port: int, certificate: Path, key: Path) -> AsyncIterator[int]:
    """A port where TLS leads to the plain *port*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))
    async with _forwarding(listening, port, _pump, tls=context) as front:
        yield front


def make_certificate(directory: Path, host: str = "localhost") -> tuple[Path, Path]:
    """A certificate for *host* that vouches for itself, and its key."""
    certificate, key = directory / f"{host}.pem", directory / f"{host}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def listening(port: int) -> None:
    """Wait until somebody listens on a port of 127.0.0.1, without a connection that is noticed."""
    row = f": 0100007F:{port:04X} 00000000:0000 0A "
    async with asyncio.timeout(READY_WITHIN_S):
        while row not in _sockets():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.02)


def _sockets() -> str:
    return Path("/proc/net/tcp").read_text(encoding="ascii")


def _open_under(process_id: int, directory: Path) -> bool:
    """Whether a process has a file in *directory* open."""
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if descriptor.readlink().is_relative_to(directory):
                return True
    return False


@asynccontextmanager
async def _forwarding(listening, port, upward, *, tls=None, limit=65536) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_quietly(upward(reader, far_writer)))
                    tasks.create_task(_quietly(_pump(far_reader, writer)))
            finally:
                writer.transport.abort()
                far_writer.transport.abort()

    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, sock=listening, ssl=tls, limit=limit)
    try:
        yield listening.getsockname()[1]
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        if serving:
            await asyncio.wait(serving)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _quietly(pumping) -> None:
    with suppress(OSError):
        await pumping


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.transport.abort()
    return True
