"""A proxy in front of an S3 server that fails as told; it sees what passes and signs nothing."""

import asyncio
import io
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {"transfer-encoding", "connection", "content-encoding", "keep-alive", "expect"}
_PIECE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived whole, and how it was answered (None: not at all)."""

    method: str
    path: str
    query: str
    status: int | None


@dataclass(slots=True)
class Faults:
    """What goes wrong. Applies to requests that `matches`; everything else passes."""

    matches: Callable[[web.Request], bool] = lambda _: True
    status: int | None = None
    """Answer so instead of asking the server…"""
    share: float = 1.0
    """… this share of the time, evenly spread."""
    retry_after_s: int | None = None
    delay_s: float = 0.0
    cut_after_bytes: int | None = None
    """Reset the connection when so much of a body has come, `times` times."""
    drop_answers: bool = False
    """The server does it, nobody hears of it, `times` times."""
    hang: bool = False
    """Take the request and never answer."""
    bytes_per_s: int | None = None
    """Take bodies only so fast."""
    flip: bool = False
    """Damage a byte of a body, `times` times."""
    remove: Callable[[str], Awaitable[None]] | None = None
    """Be a store that does not know `If-None-Match`: with this, take away what is in the way."""
    times: int = 1_000_000
    owed: float = 0.0

    def take(self) -> bool:
        if self.times == 0:
            return False
        self.times -= 1
        return True


class FaultProxy:
    """Runs inside the test's event loop."""

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.bodies: list[int] = []
        """Bytes of every body that arrived whole."""
        self.endpoint = ""
        self._target = target
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0
        self._released = asyncio.Event()

    async def listen(self) -> None:
        """Accept connections, again on the same port after `refuse`."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.endpoint = f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    async def refuse(self) -> None:
        """Close every connection and refuse new ones until `listen`."""
        if self._runner is not None:
            self._released.set()
            await self._runner.cleanup()
            self._runner = None
            self._released = asyncio.Event()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def forget(self) -> None:
        """As if new."""
        self.faults = Faults()
        self.seen.clear()
        self.bodies.clear()

    def count(self, method: str, pattern: str = "") -> int:
        """How many such requests were answered by the server."""
        return sum(
            seen.method == method
            and seen.status is not None
            and re.search(pattern, f"{seen.path}?{seen.query}") is not None
            for seen in self.seen
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        if not faults.matches(request):
            return await self._pass(request, await request.read())
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        if faults.hang:
            await self._released.wait()
        body = await self._body(request, faults)
        faults.owed += faults.share
        if faults.status is not None and faults.owed >= 1:
            faults.owed -= 1
            self.seen.append(Seen(request.method, request.path, request.query_string, None))
            headers = {}
            if faults.retry_after_s is not None:
                headers["Retry-After"] = str(faults.retry_after_s)
            return web.Response(status=faults.status, headers=headers)
        if faults.flip and body and faults.take():
            body = bytes([body[0] ^ 1]) + body[1:]
        if faults.remove is not None and "If-None-Match" in request.headers:
            await faults.remove(request.path.split("/", 2)[2])
        answer = await self._pass(request, body)
        if faults.drop_answers and faults.take():
            self._cut(request)
        return answer

    async def _body(self, request: web.Request, faults: Faults) -> bytes:
        data = bytearray()
        async for piece in request.content.iter_chunked(_PIECE_BYTES):
            data += piece
            if faults.bytes_per_s is not None:
                await asyncio.sleep(len(piece) / faults.bytes_per_s)
            limit = faults.cut_after_bytes
            if limit is not None and len(data) > limit and faults.take():
                self._cut(request)
        return bytes(data)

    def _cut(self, request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("cut by the test")

    async def _pass(self, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        ]
        async with self._session.request(
            request.method,
            URL(f"{self._target}{request.raw_path}", encoded=True),
            headers=headers,
            data=io.BytesIO(body),
            skip_auto_headers=["Content-Type", "User-Agent", "Accept"],
        ) as answer:
            data = await answer.read()
        self.seen.append(Seen(request.method, request.path, request.query_string, answer.status))
        self.bodies.append(len(body))
        response = web.Response(status=answer.status, body=data)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP and (
                name.lower() != "content-length" or request.method == "HEAD"
            ):
                response.headers[name] = value
        return response


@asynccontextmanager
async def fault_proxy(target: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target, tls)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.refuse()
