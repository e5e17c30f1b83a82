"""A path for media that can be blocked, in one direction or both.

A relay of WebSocket messages puts a UDP relay's address in place of every candidate that a
publisher offers, and leaves the subscriber's candidates out, so that all media meets the relay.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

Address = tuple[str, int]


class UdpLink:
    """All paths between the publishers of a room and one subscriber."""

    def __init__(self) -> None:
        self.passes_to_worker = True
        self.passes_to_publishers = True
        self.datagrams = 0
        """How many came from publishers so far, blocked ones too."""
        self._transports: list[asyncio.DatagramTransport] = []

    def block(self, *, to_worker: bool = True, to_publishers: bool = True) -> None:
        """From now on drop what goes in these directions."""
        self.passes_to_worker = not to_worker
        self.passes_to_publishers = not to_publishers

    def open(self) -> None:
        """Let everything through again."""
        self.passes_to_worker = self.passes_to_publishers = True

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    async def stand_in(self, publisher: Address) -> Address:
        """An address at which *publisher* is reached through this link."""
        near: _Socket | None = None
        far: dict[Address, _Socket] = {}

        def from_publisher(datagram: bytes, worker: Address) -> None:
            self.datagrams += 1
            if self.passes_to_worker and near is not None:
                near.transport.sendto(datagram, worker)

        async def open_far(datagram: bytes, worker: Address) -> None:
            far[worker] = await self._open(lambda data, _: from_publisher(data, worker))
            far[worker].transport.sendto(datagram, publisher)

        def from_worker(datagram: bytes, worker: Address) -> None:
            if not self.passes_to_publishers:
                return
            if worker in far:
                far[worker].transport.sendto(datagram, publisher)
            elif worker not in opening:
                opening[worker] = loop.create_task(open_far(datagram, worker))

        loop = asyncio.get_running_loop()
        opening: dict[Address, asyncio.Task[None]] = {}
        near = await self._open(from_worker)
        address: Address = near.transport.get_extra_info("sockname")
        return address

    async def _open(self, received: Callable[[bytes, Address], None]) -> "_Socket":
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Socket(received), local_addr=("127.0.0.1", 0)
        )
        self._transports.append(transport)
        return protocol


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self.transport: Any = None
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """A port that is closed already."""


class _SignalRelay:
    """Passes messages on, with other candidates in offers and answers."""

    def __init__(self, url: str, link: UdpLink) -> None:
        self._url = url
        self._link = link

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse()
        await near.prepare(request)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self._url) as far,
            asyncio.TaskGroup() as tasks,
        ):
            down = tasks.create_task(self._pump(far, near, self._offered))
            await self._pump(near, far, self._answered)
            down.cancel()
        return near

    async def _pump(self, source: Any, target: Any, rewrite: Any) -> None:
        async for message in source:
            if message.type is not WSMsgType.TEXT:
                break
            document = json.loads(message.data)
            if document["type"] == "signal" and "sdp" in document["data"]:
                document["data"]["sdp"] = await rewrite(document["data"]["sdp"])
            await target.send_str(json.dumps(document))
        await target.close(code=1006 if source.close_code is None else 1000)

    async def _offered(self, sdp: str) -> str:
        lines = []
        stand_ins: dict[Address, Address] = {}
        for line in sdp.split("\r\n"):
            if line.startswith("a=candidate:"):
                fields = line.split(" ")
                address = fields[4], int(fields[5])
                if address not in stand_ins:
                    stand_ins[address] = await self._link.stand_in(address)
                fields[4], fields[5] = stand_ins[address][0], str(stand_ins[address][1])
                line = " ".join(fields)
            lines.append(line)
        return "\r\n".join(lines)

    async def _answered(self, sdp: str) -> str:
        kept = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate:")]
        return "\r\n".join(kept)


@asynccontextmanager
async def udp_link(url: str) -> AsyncIterator[tuple[UdpLink, str]]:
    """A link, and the signalling address that makes a subscriber's media use it."""
    link = UdpLink()
    application = web.Application()
    application.router.add_get("/ws", _SignalRelay(url, link).serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield link, f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    finally:
        await runner.cleanup()
        link.close()
