"""A scripted test-room server with publishers inside, for tests of the room adapter."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.rooms.rtp_material import AudioSender, VideoSender
from worker.core.identity import Codec, Kind
from worker.errors import RoomError
from worker.ports import EncodedFrame, RoomEvent, SenderReport
from worker.rooms.ice import IceSettings
from worker.rooms.media import MID_URI, MediaCodec, OfferedMedia
from worker.rooms.peer import Peer

ICE = IceSettings(host_addresses=("127.0.0.1",))
_VP8 = MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli"))
_OPUS = MediaCodec(111, Codec.OPUS)


def track(name: str, kind: str, source: str, *, muted: bool = False) -> dict[str, Any]:
    return {"track": name, "kind": kind, "source": source, "muted": muted}


CAMERA = track("cam", "video", "camera")
MICROPHONE = track("mic", "audio", "microphone")
SCREEN = track("scr", "video", "screen")


@dataclass
class Ear:
    """A `RoomListener` that remembers."""

    events: list[RoomEvent] = field(default_factory=list)
    frames: list[EncodedFrame] = field(default_factory=list)
    reports: list[SenderReport] = field(default_factory=list)

    def on_event(self, event: RoomEvent) -> None:
        self.events.append(event)

    def on_frame(self, frame: EncodedFrame) -> None:
        self.frames.append(frame)

    def on_sender_report(self, report: SenderReport) -> None:
        self.reports.append(report)


@dataclass
class _Session:
    peer: Peer
    media: tuple[OfferedMedia, ...] = ()
    is_connected: bool = False
    video: dict[str, VideoSender] = field(default_factory=dict)
    audio: dict[str, AudioSender] = field(default_factory=dict)


class Publisher:
    """Offers its tracks to whoever subscribes, and sends while told to."""

    def __init__(self, room: "ScriptedRoom", peer_id: str, tracks: list[dict[str, Any]]) -> None:
        self.room = room
        self.peer_id = peer_id
        self.user_id = f"user-{peer_id}"
        self.tracks = tracks
        self.is_sending = True
        self.is_deaf = False
        self.dead_sessions: set[str] = set()
        self.paused: set[str] = set()
        self.offers_garbage = 0
        self.restarts_ice = False
        self.sessions: dict[str, _Session] = {}
        self.subscribed: list[str] = []
        self.closed: list[str] = []
        self.wishes: list[dict[str, Any]] = []
        """What subscribers said of the videos, as it came."""

    def listing(self) -> dict[str, Any]:
        return {
            "id": self.peer_id,
            "user_id": self.user_id,
            "name": self.peer_id,
            "tracks": self.tracks,
        }

    async def signal(self, data: dict[str, Any]) -> None:
        with suppress(RoomError):  # the subscriber may go away at any moment
            await self._signal(data)

    async def _signal(self, data: dict[str, Any]) -> None:
        session_id = data["session"]
        if "video" in data:
            self.wishes.append(data)
        match data["kind"]:
            case "subscribe":
                self.subscribed.append(session_id)
                if not self.is_deaf:
                    peer = Peer(ice=ICE, clock_ns=time.monotonic_ns)
                    self.sessions[session_id] = _Session(peer)
                    await self.offer(session_id)
            case "answer":
                session = self.sessions[session_id]
                await session.peer.accept(data["sdp"])
                if not session.is_connected:
                    await session.peer.connect()
                    session.is_connected = True
            case "close":
                self.closed.append(session_id)
                closing = self.sessions.pop(session_id, None)
                if closing is not None:
                    await closing.peer.close()

    async def offer(self, session_id: str) -> None:
        session = self.sessions[session_id]
        media = []
        for index, entry in enumerate(self.tracks):
            is_video = entry["kind"] == "video"
            media.append(
                OfferedMedia(
                    mid=entry["track"],
                    kind=Kind(entry["kind"]),
                    codecs=(_VP8,) if is_video else (_OPUS,),
                    ssrc=1000 + index,
                    rtx_ssrc=2000 + index if is_video else None,
                    extensions={MID_URI: 4},
                )
            )
            if is_video:
                session.video.setdefault(entry["track"], VideoSender(ssrc=1000 + index))
            else:
                session.audio.setdefault(entry["track"], AudioSender(ssrc=1000 + index))
        sdp = await session.peer.offer(media)
        if self.offers_garbage:
            self.offers_garbage -= 1
            sdp = "garbage"
        if self.restarts_ice:
            self.restarts_ice = False
            sdp = re.sub("(?m)^a=ice-ufrag:.*$", "a=ice-ufrag:anew\r", sdp)
        await self.room.send(
            {
                "type": "signal",
                "from": self.peer_id,
                "data": {
                    "kind": "offer",
                    "session": session_id,
                    "sdp": sdp,
                    "mids": {entry["track"]: entry["track"] for entry in self.tracks},
                },
            }
        )

    async def change_tracks(self, tracks: list[dict[str, Any]]) -> None:
        self.tracks = tracks
        await self.room.send({"type": "tracks", "id": self.peer_id, "tracks": tracks})
        for session_id in list(self.sessions):
            await self.offer(session_id)

    def send_media(self) -> None:
        names = {entry["track"] for entry in self.tracks}
        for session_id, session in self.sessions.items():
            if not self.is_sending or not session.is_connected or session_id in self.dead_sessions:
                continue
            for name, video in session.video.items():
                if name in names - self.paused:
                    for packet in video.frame(is_keyframe=True):
                        session.peer.send_rtp(packet)
            for name, audio in session.audio.items():
                if name in names:
                    session.peer.send_rtp(audio.packet())

    async def close(self) -> None:
        for session in self.sessions.values():
            await session.peer.close()


class ScriptedRoom:
    """Serves one subscriber; whatever a test says is sent to it."""

    def __init__(self) -> None:
        self.url = ""
        self.publishers: dict[str, Publisher] = {}
        self.joins: list[dict[str, Any]] = []
        self.refusal: str | None = None
        self._socket: web.WebSocketResponse | None = None
        self._tasks: asyncio.TaskGroup | None = None

    def add(self, peer_id: str, *tracks: dict[str, Any]) -> Publisher:
        publisher = self.publishers[peer_id] = Publisher(self, peer_id, list(tracks))
        return publisher

    async def send(self, message: dict[str, Any] | str) -> None:
        socket = self._socket
        if socket is not None and not socket.closed:
            with suppress(ConnectionError):
                await socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def hang_up(self, code: int = 1000) -> None:
        assert self._socket is not None
        await self._socket.close(code=code)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.joins.append(json.loads((await socket.receive()).data))
        if self.refusal is not None:
            await socket.send_str(json.dumps({"type": "refused", "reason": self.refusal}))
            await socket.close()
            return socket
        self._socket = socket
        await self.send(
            {
                "type": "welcome",
                "id": "me",
                "participants": [entry.listing() for entry in self.publishers.values()],
            }
        )
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            document = json.loads(message.data)
            publisher = self.publishers.get(document.get("to"))
            if publisher is not None and self._tasks is not None:
                self._tasks.create_task(publisher.signal(document["data"]))
        return socket

    async def pump(self) -> None:
        while True:
            for publisher in self.publishers.values():
                publisher.send_media()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def scripted_room() -> AsyncIterator[ScriptedRoom]:
    room = ScriptedRoom()
    application = web.Application()
    application.router.add_get("/ws", room.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    room.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    try:
        async with asyncio.TaskGroup() as tasks:
            room._tasks = tasks
            pump = tasks.create_task(room.pump())
            try:
                yield room
            finally:
                pump.cancel()
                room._tasks = None
                for publisher in room.publishers.values():
                    await publisher.close()
    finally:
        await runner.cleanup()
