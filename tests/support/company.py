"""A served room, a cast and our room adapter in one process, each behind a link that can fail."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from tests.support.tcp_faults import TcpLink, tcp_link
from tests.support.udp_link import UdpLink, udp_link
from worker.core.identity import Kind, Track, TrackId
from worker.core.timing import NS_PER_S
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    SenderReport,
    TrackEnded,
    TrackPublished,
)
from worker.rooms.ice import IceSettings
from worker.rooms.mesh import MeshRoom
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.publisher import run_cast
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.server import serve_room

LOOPBACK = IceSettings(host_addresses=("127.0.0.1",))
FPS = 20
SMALL = f"""
loop_s = 1
[defaults.camera]
width = 64
height = 64
fps = {FPS}
bitrate_kbps = 100
[defaults.screen]
width = 64
height = 64
fps = 10
[defaults.microphone]
mode = "beep"
"""


def actor(user_id: str, more: str = "") -> str:
    """The table of one participant."""
    return f'\n[[participants]]\nuser_id = "{user_id}"\n{more}\n'


def event(at_s: float, user_id: str, do: str) -> str:
    """The table of one thing that happens."""
    return f'\n[[events]]\nat_s = {at_s}\nuser_id = "{user_id}"\ndo = "{do}"\n'


@dataclass
class Witness:
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

    def of(self, track_id: TrackId) -> list[EncodedFrame]:
        """What came of one track."""
        return [frame for frame in self.frames if frame.track_id == track_id]

    def count(self, kind: type[RoomEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def tracks(self) -> list[Track]:
        """Published and not ended, in order."""
        ended = {event.track_id for event in self.events if isinstance(event, TrackEnded)}
        published = [event.track for event in self.events if isinstance(event, TrackPublished)]
        return [track for track in published if track.track_id not in ended]

    def track(self, user_id: str, name: str) -> TrackId | None:
        """The live track that *user_id* calls *name*."""
        present = {
            event.participant.participant_id
            for event in self.events
            if isinstance(event, ParticipantJoined) and event.participant.user_id == user_id
        }
        present -= {e.participant_id for e in self.events if isinstance(e, ParticipantLeft)}
        for track in self.tracks:
            if track.participant_id in present and track.track_id.endswith(f"/{name}"):
                return track.track_id
        return None

    def longest_gap_s(self, track_id: TrackId | None = None) -> float:
        """The longest time without a frame, of one track or of anything."""
        frames = self.frames if track_id is None else self.of(track_id)
        return max(
            ((b.arrival_ns - a.arrival_ns) / NS_PER_S for a, b in pairwise(frames)), default=0.0
        )


def missing(frames: Sequence[EncodedFrame], kind: Kind) -> int:
    """Frames that never came between the first and the last of *frames*, in one epoch."""
    step = 960 if kind is Kind.AUDIO else 90_000 // FPS
    numbers = {frame.rtp_timestamp for frame in frames}
    assert len({frame.epoch for frame in frames}) == 1, "another session took over"
    return (max(numbers) - min(numbers)) // step + 1 - len(numbers)


@dataclass
class Company:
    """What a test may touch."""

    url: str
    """Of the room's server."""
    room: MeshRoom
    witness: Witness
    worker_link: TcpLink
    cast_link: TcpLink
    media_link: UdpLink

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for *condition*; the deadline of `company` ends a wait in vain."""
        while not condition():  # noqa: ASYNC110 - conditions span a server, peers and the room
            await asyncio.sleep(0.005)

    async def heard(self, *tracks: tuple[str, str], frames: int = 5) -> Sequence[TrackId]:
        """Wait until *frames* of every (user, name) have come; their ids."""

        def have_come() -> bool:
            ids = [self.witness.track(*track) for track in tracks]
            return all(each is not None and len(self.witness.of(each)) >= frames for each in ids)

        await self.until(have_come)
        ids = [self.witness.track(*track) for track in tracks]
        return [each for each in ids if each is not None]


@asynccontextmanager
async def company(
    people: str | Iterable[str],
    library: LoopLibrary,
    *,
    deadline_s: float = 30,
    impaired_media: bool = False,
    worker_ice: IceSettings = LOOPBACK,
    cast_ice: IceSettings = LOOPBACK,
) -> AsyncIterator[Company]:
    """The *people* (TOML tables) are in the room, and our adapter listens."""
    scenario = parse_scenario(SMALL + (people if isinstance(people, str) else "".join(people)))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(deadline_s))
        address = await stack.enter_async_context(serve_room())
        worker_link, worker_url = await stack.enter_async_context(tcp_link(address.ws_url))
        cast_link, cast_url = await stack.enter_async_context(tcp_link(address.ws_url))
        media_link, media_url = await stack.enter_async_context(udp_link(worker_url))
        witness = Witness()
        room = MeshRoom(
            url=media_url if impaired_media else worker_url,
            room_id="r",
            user_id="recorder",
            clock_ns=time.monotonic_ns,
            ice=worker_ice,
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        ready = asyncio.Event()
        cast = group.create_task(
            run_cast(
                scenario,
                url=cast_url,
                room_id="r",
                on_ready=ready.set,
                library=library,
                ice=cast_ice,
            )
        )
        try:
            await ready.wait()
            running = group.create_task(room.run(witness))
            try:
                yield Company(address.ws_url, room, witness, worker_link, cast_link, media_link)
            finally:
                running.cancel()
        finally:
            cast.cancel()
