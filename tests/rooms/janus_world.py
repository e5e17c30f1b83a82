"""A scripted Janus with publishers inside, for tests of the VideoRoom adapter."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.rooms.rtp_material import AudioSender, VideoSender
from worker.core.identity import Codec, Kind
from worker.errors import RoomError
from worker.rooms.ice import IceSettings
from worker.rooms.media import MID_URI, MediaCodec, OfferedMedia
from worker.rooms.peer import Peer

ICE = IceSettings(host_addresses=("127.0.0.1",))
_VP8 = MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli"))
_OPUS = MediaCodec(111, Codec.OPUS)
MID = 4
"""Header extension."""
NO_SUCH_FEED = 428
NO_SUCH_SESSION = 458


@dataclass
class Handle:
    """One attached handle; a subscriber's has a connection."""

    handle_id: int
    peer: Peer | None = None
    streams: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Its MIDs, and what they carry."""
    senders: dict[str, VideoSender | AudioSender] = field(default_factory=dict)
    is_connected: bool = False
    is_dead: bool = False
    """Sends nothing any more, without a word."""
    is_deaf: bool = False
    """Does not care for answers."""
    relayed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was configured, by MID."""
    starts: int = 0
    offer: str = ""


class ScriptedJanus:
    """Serves one client; sessions outlive its sockets."""

    def __init__(self) -> None:
        self.url = ""
        self.feeds: dict[int, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refused_feeds: set[int] = set()
        """Gone, though nobody said so."""
        self.errors: dict[str, int] = {}
        """Requests of Janus itself that fail, with their error codes."""
        self.reclaims = True
        self.handles: dict[int, Handle] = {}
        self.session_id: int | None = None
        self.names_sections = True
        """Each packet names its section, as Janus's do: some come before that is answered."""
        self.is_mute = False
        """Takes requests and never answers."""
        self._entered: int | None = None
        self._ids = itertools.count(100)
        self._socket: web.WebSocketResponse | None = None
        self._tasks: asyncio.TaskGroup | None = None

    def publish(self, feed_id: int, *kinds: str, **more: Any) -> dict[str, Any]:
        """A feed with one stream per kind, not announced yet."""
        streams = [{"type": kind, "mid": str(n), **more} for n, kind in enumerate(kinds)]
        self.feeds[feed_id] = {"id": feed_id, "display": f"user {feed_id}", "streams": streams}
        return self.feeds[feed_id]

    async def announce(self, **data: Any) -> None:
        """An event on the handle that has joined the room."""
        assert self._entered is not None
        await self.event(self._entered, {"videoroom": "event", "room": 1, **data})

    async def event(self, handle_id: int, data: dict[str, Any], **more: Any) -> None:
        await self.say(janus="event", sender=handle_id, plugindata={"data": data}, **more)

    async def say(self, **document: Any) -> None:
        socket = self._socket
        if socket is not None and not socket.closed:
            with suppress(ConnectionError):
                await socket.send_str(json.dumps(document))

    async def hang_up(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    def restart(self) -> None:
        """Forget everybody, as a new process does."""
        self.session_id = self._entered = None
        for handle in self.handles.values():
            handle.is_dead = True
        self.handles = {}

    def subscribers(self) -> list[Handle]:
        """Handles that receive and have not been given up."""
        return [handle for handle in self.handles.values() if handle.peer is not None]

    def asked(self, request: str) -> list[dict[str, Any]]:
        """Bodies of the plugin's requests of that name, in order."""
        bodies = [document.get("body", {}) for document in self.requests]
        return [body for body in bodies if body.get("request") == request]

    async def serve(self, http: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("janus-protocol",))
        await socket.prepare(http)
        self._socket = socket
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            document = json.loads(message.data)
            self.requests.append(document)
            if not self.is_mute and self._tasks is not None:
                with suppress(RoomError):
                    await self._answer(document)
        return socket

    async def pump(self) -> None:
        while True:
            for handle in self.subscribers():
                if handle.is_connected and not handle.is_dead and handle.peer is not None:
                    for mid, sender in handle.senders.items():
                        self._send(handle, mid, sender)
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        for handle in self.handles.values():
            if handle.peer is not None:
                await handle.peer.close()

    def _send(self, handle: Handle, mid: str, sender: VideoSender | AudioSender) -> None:
        assert handle.peer is not None
        if mid not in handle.streams or not handle.relayed.get(mid, {}).get("send", True):
            return
        section = {MID: mid.encode()} if self.names_sections else {}
        if isinstance(sender, AudioSender):
            sender.extensions = section
            handle.peer.send_rtp(sender.packet())
            return
        for packet in sender.frame(is_keyframe=True, extensions=section):
            handle.peer.send_rtp(packet)

    async def _answer(self, document: dict[str, Any]) -> None:
        kind, transaction = document["janus"], document["transaction"]

        async def reply(**more: Any) -> None:
            await self.say(transaction=transaction, **more)

        if kind in self.errors:
            await reply(janus="error", error={"code": self.errors[kind], "reason": "as scripted"})
        elif kind == "create":
            self.session_id = next(self._ids)
            await reply(janus="success", data={"id": self.session_id})
        elif document.get("session_id") != self.session_id or not (
            kind != "claim" or self.reclaims
        ):
            await reply(janus="error", error={"code": NO_SUCH_SESSION, "reason": "unknown"})
        elif kind in ("keepalive", "claim"):
            await reply(janus="ack" if kind == "keepalive" else "success")
        elif kind == "attach":
            handle = Handle(next(self._ids))
            self.handles[handle.handle_id] = handle
            await reply(janus="success", data={"id": handle.handle_id})
        elif kind == "detach":
            gone = self.handles.pop(document["handle_id"], None)
            if gone is not None and gone.peer is not None:
                await gone.peer.close()
            await reply(janus="success")
        else:
            await reply(janus="ack")
            await self._message(self.handles[document["handle_id"]], document)

    async def _message(self, handle: Handle, document: dict[str, Any]) -> None:
        body, transaction = document["body"], document["transaction"]

        async def reply(data: dict[str, Any], **more: Any) -> None:
            await self.event(handle.handle_id, data, transaction=transaction, **more)

        refused = [
            entry["feed"]
            for entry in body.get("streams", [])
            if "feed" in entry
            and (entry["feed"] in self.refused_feeds or entry["feed"] not in self.feeds)
        ]
        if refused:
            await reply({"videoroom": "event", "error_code": NO_SUCH_FEED, "error": "gone"})
            return
        match body["request"]:
            case "join" if body["ptype"] == "publisher":
                self._entered = handle.handle_id
                listed = list(self.feeds.values())
                await reply({"videoroom": "joined", "private_id": 77, "publishers": listed})
            case "join" | "subscribe":
                word = "attached" if handle.peer is None else "updated"
                handle.peer = handle.peer or Peer(ice=ICE, clock_ns=time.monotonic_ns)
                for entry in body["streams"]:
                    mid = str(len(handle.streams))
                    while mid in handle.streams:
                        mid = str(int(mid) + 1)
                    handle.streams[mid] = (entry["feed"], entry["mid"])
                    handle.relayed[mid] = entry
                await reply(await self._offered(handle, word), **self._jsep(handle))
            case "unsubscribe":
                for entry in body["streams"]:
                    handle.streams.pop(entry["sub_mid"], None)
                await reply(await self._offered(handle, "updated"), **self._jsep(handle))
            case "configure":
                for entry in body["streams"]:
                    handle.relayed[entry["mid"]] = entry
                await reply({"videoroom": "event", "configured": "ok"})
            case "start":
                assert handle.peer is not None
                handle.starts += 1
                if not handle.is_deaf:
                    await handle.peer.accept(document["jsep"]["sdp"])
                await reply({"videoroom": "event", "started": "ok"})
                if not handle.is_connected and handle.starts == 1:
                    assert self._tasks is not None
                    self._tasks.create_task(self._connect(handle))

    async def _connect(self, handle: Handle) -> None:
        assert handle.peer is not None
        with suppress(RoomError):
            await handle.peer.connect()
            handle.is_connected = True

    async def _offered(self, handle: Handle, word: str) -> dict[str, Any]:
        """Makes the next offer; returns what Janus says with it."""
        assert handle.peer is not None
        media, streams = [], []
        for mid, (feed_id, feed_mid) in handle.streams.items():
            listed = self.feeds[feed_id]["streams"]
            kind = next(stream["type"] for stream in listed if stream["mid"] == feed_mid)
            ssrc = 1000 + int(mid)
            is_video = kind == "video"
            media.append(
                OfferedMedia(
                    mid=mid,
                    kind=Kind(kind),
                    codecs=(_VP8,) if is_video else (_OPUS,),
                    ssrc=ssrc,
                    rtx_ssrc=ssrc + 1000 if is_video else None,
                    extensions={MID_URI: MID},
                )
            )
            if mid not in handle.senders:
                handle.senders[mid] = VideoSender(ssrc=ssrc) if is_video else AudioSender(ssrc=ssrc)
            streams.append({"mid": mid, "type": kind, "feed_id": feed_id, "feed_mid": feed_mid})
        handle.offer = await handle.peer.offer(media)
        return {"videoroom": word, "room": 1, "streams": streams}

    def _jsep(self, handle: Handle) -> dict[str, Any]:
        return {"jsep": {"type": "offer", "sdp": handle.offer}}


@asynccontextmanager
async def scripted_janus() -> AsyncIterator[ScriptedJanus]:
    janus = ScriptedJanus()
    application = web.Application()
    application.router.add_get("/", janus.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    janus.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with asyncio.TaskGroup() as tasks:
            janus._tasks = tasks
            pump = tasks.create_task(janus.pump())
            try:
                yield janus
            finally:
                pump.cancel()
                janus._tasks = None
                await janus.close()
    finally:
        await runner.cleanup()
