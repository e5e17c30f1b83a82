"""A receiver of callbacks, written apart from the sender: checks signatures, answers as told."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATH = "/hook"


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    headers: Mapping[str, str]
    raw: bytes
    at_s: float
    signed: bool

    @property
    def event_id(self) -> str:
        return self.headers["X-Rtc-Event-Id"]

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


@dataclass
class Receiver:
    """Keeps what was sent to it. `answer` may be changed at any moment."""

    auth_key: str = ""
    answer: Answering | None = None
    calls: list[Call] = field(default_factory=list)
    accepted: list[Call] = field(default_factory=list)
    """Those answered with 200."""
    other_paths: list[str] = field(default_factory=list)
    """What was asked for besides the hook, such as where a redirect leads."""
    url: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def heard(self, count: int) -> None:
        """Wait until *count* calls were accepted."""
        while len(self.accepted) < count:
            self.came.clear()
            await self.came.wait()

    async def heard_of(self, event_type: str) -> None:
        """Wait until an event of that type was accepted."""
        while all(call.body["event_type"] != event_type for call in self.accepted):
            self.came.clear()
            await self.came.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if request.path != PATH:
            self.other_paths.append(request.path)
            return web.Response()
        signed = is_signed(request.headers, raw, self.auth_key)
        call = Call(dict(request.headers), raw, asyncio.get_running_loop().time(), signed)
        self.calls.append(call)
        response = await (self.answer or ok)(request)
        if response.status == 200:
            self.accepted.append(call)
        self.came.set()
        return response


def is_signed(headers: Mapping[str, str], raw: bytes, key: str) -> bool:
    """By the words of the FAQ: HMAC-SHA256 of rand, timestamp and body, lower-case hex."""
    text = headers.get("X-Rtc-Rand", "") + headers.get("X-Rtc-Timestamp", "")
    mac = hmac.new(bytes(key, "utf-8"), digestmod="sha256")
    mac.update(bytes(text, "ascii"))
    mac.update(raw)
    return hmac.compare_digest(mac.hexdigest(), headers.get("X-Rtc-Signature", ""))


async def ok(_: web.Request) -> web.Response:
    return web.json_response({"status": 1, "result": "success"})


def status(code: int, **headers: str) -> Answering:
    """Answers *code*; in header names _ stands for -."""

    async def answer(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, headers=named)

    return answer


def slow(seconds: float) -> Answering:
    """Thinks for a while before its first byte."""

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response()

    return answer


def endless(code: int, sent: list[int], *, piece: int, pause_s: float = 0.0) -> Answering:
    """An answer whose body never ends; *sent* gets the size of each piece that was taken."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=code)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * piece)
                sent.append(piece)
                await asyncio.sleep(pause_s)
        except ConnectionError:
            return response

    return answer


def dice(refused: float, rng: Random) -> Answering:
    """Fails a part of the requests."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500 if rng.random() < refused else 200)

    return answer


@asynccontextmanager
async def served(receiver: Receiver, port: int = 0) -> AsyncIterator[Receiver]:
    """Serve *receiver* on loopback; may be done again with the port of `url` after it was down."""
    server = web.Server(receiver.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, taken = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{taken}{PATH}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
