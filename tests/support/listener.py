"""A subscriber of the test room that keeps every packet: what publishers really put on the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from worker.core.timing import NS_PER_S
from worker.rooms.ice import IceSettings
from worker.rooms.media import NegotiatedMedia
from worker.rooms.peer import Peer
from worker.rooms.rtp.packet import RtpPacket, parse_rtp
from worker.rooms.rtp.rtcp import RtcpPacket, parse_rtcp


@dataclass(slots=True)
class Heard:
    """Everything one publisher sent. Grows while the listener listens."""

    peer: Peer
    mids: dict[str, str] = field(default_factory=dict)
    """Media section to track."""
    media: dict[str, NegotiatedMedia] = field(default_factory=dict)
    """By track."""
    packets: list[tuple[int, RtpPacket]] = field(default_factory=list)
    """(arrival in ns of the loop's time, packet)."""
    feedback: list[tuple[int, RtcpPacket]] = field(default_factory=list)
    offers: int = 0

    def of(self, track: str) -> list[tuple[int, RtpPacket]]:
        """Media packets of one track, retransmissions in a stream of their own left out."""
        ssrcs = self.media[track].ssrcs if track in self.media else ()
        return [entry for entry in self.packets if entry[1].ssrc in ssrcs]

    def repaired(self, track: str) -> list[tuple[int, RtpPacket]]:
        """RTX packets of one track, still wrapped."""
        return [entry for entry in self.packets if entry[1].ssrc in self.media[track].rtx_ssrcs]


class Listener:
    """Subscribes to every publisher of a room."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.heard: dict[str, Heard] = {}
        """By user id; a user who joins again starts anew."""
        self.tracks: dict[str, list[dict[str, Any]]] = {}
        """The last list of tracks of each user."""
        self.left: list[str] = []
        self._socket = socket
        self._users: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                message = json.loads(await self._socket.receive_str())
                match message["type"]:
                    case "welcome":
                        for participant in message["participants"]:
                            await self._subscribe(participant)
                    case "joined":
                        await self._subscribe(message["participant"])
                    case "tracks":
                        self.tracks[self._users[message["id"]]] = message["tracks"]
                    case "left":
                        user = self._users.pop(message["id"])
                        self.left.append(user)
                        group.create_task(self.heard[user].peer.close())
                    case "signal" if message["data"]["kind"] == "offer":
                        group.create_task(self._answer(message["from"], message["data"]))

    async def _subscribe(self, participant: dict[str, Any]) -> None:
        user = participant["user_id"]
        self._users[participant["id"]] = user
        self.tracks[user] = participant["tracks"]
        loop = asyncio.get_running_loop()
        peer = Peer(
            ice=IceSettings(host_addresses=("127.0.0.1",)),
            clock_ns=lambda: round(loop.time() * NS_PER_S),
        )
        heard = self.heard[user] = Heard(peer)
        peer.on_rtp = lambda packet, at_ns: heard.packets.append((at_ns, parse_rtp(packet)))
        peer.on_rtcp = lambda packet, at_ns: heard.feedback.extend(
            (at_ns, each) for each in parse_rtcp(packet)
        )
        await self._signal(participant["id"], {"kind": "subscribe", "session": "s"})

    async def _answer(self, publisher: str, data: dict[str, Any]) -> None:
        heard = self.heard[self._users[publisher]]
        heard.mids |= data["mids"]
        answer = await heard.peer.answer(data["sdp"])
        for media in answer.media:
            if media.is_active:
                heard.media[heard.mids[media.mid]] = media
        heard.offers += 1
        await self._signal(publisher, {"kind": "answer", "session": "s", "sdp": answer.sdp})
        if heard.offers == 1:
            await heard.peer.connect()

    async def _signal(self, to: str, data: dict[str, Any]) -> None:
        await self._socket.send_str(json.dumps({"type": "signal", "to": to, "data": data}))


@asynccontextmanager
async def listening(url: str, room: str) -> AsyncIterator[Listener]:
    """A listener in *room*, until the context is left."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        join = {"type": "join", "room": room, "user_id": "listener", "name": "L"}
        await socket.send_str(json.dumps({**join, "role": "subscriber"}))
        listener = Listener(socket)
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(listener.run())
                yield listener
                running.cancel()
        finally:
            for heard in listener.heard.values():
                await heard.peer.close()
