"""What every kind of room must do: the same people, the same questions, another server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.janus import URL, JanusOptions, janus_server
from tests.support.janus_cast import ICE, JanusPresence
from tests.support.namespace import network_namespace
from worker.core.identity import Kind, Source, Track, TrackId
from worker.core.layout.geometry import Size
from worker.errors import RoomRefused
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    Room,
    RoomConnected,
    RoomEvent,
    SenderReport,
    TrackEnded,
    TrackPublished,
)
from worker.rooms.ice import IceSettings
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.mesh import MeshRoom
from worker.testroom.publisher import run_cast
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.server import serve_room

SMALL = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\nlive = true\n"
ANN = '[[participants]]\nuser_id = "ann"\nname = "Ann"\n'
BEN = '[[participants]]\nuser_id = "ben"\nname = "Ben"\n'
WITHIN_S = 8.0


class Listener:
    """Keeps what a room delivers."""

    def __init__(self) -> None:
        self.events: list[RoomEvent] = []
        self.frames: list[EncodedFrame] = []
        self.reports: list[SenderReport] = []
        self._changed = asyncio.Event()

    def on_event(self, event: RoomEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def on_frame(self, frame: EncodedFrame) -> None:
        self.frames.append(frame)
        self._changed.set()

    def on_sender_report(self, report: SenderReport) -> None:
        self.reports.append(report)
        self._changed.set()

    def of(self, kind: type[RoomEvent]) -> list[RoomEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def tracks(self, source: Source | None = None) -> list[Track]:
        """Tracks that were published, of one source or all."""
        published = [event.track for event in self.events if isinstance(event, TrackPublished)]
        return [track for track in published if source in (None, track.source)]

    def frames_of(self, track_id: TrackId) -> list[EncodedFrame]:
        return [frame for frame in self.frames if frame.track_id == track_id]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Dialect:
    """One kind of room with its server running."""

    def __init__(
        self,
        join: Callable[[str], Room],
        cast: Callable[[str], AbstractAsyncContextManager[None]],
        *,
        refused: str,
    ) -> None:
        self.refused = refused
        """The name of a room that says no."""
        self.join = join
        """A room as a subscriber joins it, by the name of the room."""
        self.cast = cast
        """Inside, the people of a scenario are in the room called "1234"."""

    @asynccontextmanager
    async def attended(self, room: Room) -> AsyncIterator[Listener]:
        """Inside, *room* delivers into the listener."""
        listener = Listener()
        async with asyncio.TaskGroup() as tasks:
            staying = tasks.create_task(room.run(listener))
            try:
                yield listener
            finally:
                staying.cancel()


@asynccontextmanager
async def _cast(scenario: str, url: str, **how: object) -> AsyncIterator[None]:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        acting = tasks.create_task(
            run_cast(parse_scenario(scenario), url=url, room_id="1234", on_ready=ready.set, **how)
        )
        await ready.wait()
        try:
            yield
        finally:
            acting.cancel()


@asynccontextmanager
async def _test_room(_: Path) -> AsyncIterator[Dialect]:
    async with serve_room() as address:
        yield Dialect(
            lambda name: MeshRoom(
                url=address.ws_url, room_id=name, user_id="rec", clock_ns=time.monotonic_ns
            ),
            lambda scenario: _cast(scenario, address.ws_url),
            refused="no/such/name",
        )


@asynccontextmanager
async def _janus(directory: Path) -> AsyncIterator[Dialect]:
    async with janus_server(directory / "janus", JanusOptions()):
        yield Dialect(
            lambda name: JanusRoom(
                url=URL,
                entry=JanusEntry(int(name)),
                clock_ns=time.monotonic_ns,
                ice=IceSettings(host_addresses=ICE.host_addresses),
            ),
            lambda scenario: _cast(scenario, URL, ice=ICE, presence=JanusPresence),
            refused="999",
        )


@pytest.fixture(params=[_test_room, _janus], ids=["testroom", "janus"])
def open_dialect(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], AbstractAsyncContextManager[Dialect]]]:
    with network_namespace():
        yield lambda: request.param(tmp_path)


Opener = Callable[[], AbstractAsyncContextManager[Dialect]]


def is_loud(frame: EncodedFrame) -> bool:
    return frame.level_dbov is not None and frame.level_dbov > -75


async def test_an_empty_room_is_joined_and_known_to_be_empty(open_dialect: Opener) -> None:
    async with open_dialect() as dialect, dialect.attended(dialect.join("1234")) as heard:
        await heard.until(lambda: bool(heard.events))
        await asyncio.sleep(0.3)
    assert heard.events == [RoomConnected()]


async def test_who_is_there_and_who_comes_is_told_with_tracks_and_then_media(
    open_dialect: Opener,
) -> None:
    async with (
        open_dialect() as dialect,
        dialect.cast(SMALL + ANN),
        dialect.attended(dialect.join("1234")) as heard,
    ):
        await heard.until(lambda: len({frame.track_id for frame in heard.frames}) == 2)
        async with dialect.cast(SMALL + BEN):
            await heard.until(lambda: len({frame.track_id for frame in heard.frames}) == 4)
            await heard.until(lambda: len({r.track_id for r in heard.reports}) == 4)
        await heard.until(lambda: len(heard.of(ParticipantLeft)) == 1)
    joined = [e.participant for e in heard.events if isinstance(e, ParticipantJoined)]
    assert [participant.display_name for participant in joined] == ["Ann", "Ben"]
    assert sorted(track.source.value for track in heard.tracks()) == sorted(
        2 * ["camera", "microphone"]
    )
    (left,) = heard.of(ParticipantLeft)
    assert left == ParticipantLeft(joined[1].participant_id)
    # A track is announced before its first frame, by a participant who is announced before it.
    for track in heard.tracks():
        frames = heard.frames_of(track.track_id)
        assert frames[0].keyframe
        assert [f.rtp_timestamp for f in frames] == sorted(f.rtp_timestamp for f in frames)
        if track.kind is Kind.VIDEO:
            assert frames[0].size == Size(320, 180)
    ended = {event.track_id for event in heard.events if isinstance(event, TrackEnded)}
    assert ended == {t.track_id for t in heard.tracks() if t.participant_id == left.participant_id}


async def test_a_shared_screen_is_a_track_of_its_own_and_nothing_else_breaks(
    open_dialect: Opener,
) -> None:
    share = '[[events]]\nat_s = 2\nuser_id = "ann"\ndo = "share_screen"\n'
    async with (
        open_dialect() as dialect,
        dialect.cast(SMALL + ANN + share),
        dialect.attended(dialect.join("1234")) as heard,
    ):
        await heard.until(lambda: bool(heard.tracks(Source.SCREEN)))
        (screen,) = heard.tracks(Source.SCREEN)
        await heard.until(lambda: len(heard.frames_of(screen.track_id)) > 5)
        (camera,) = heard.tracks(Source.CAMERA)
        before = len(heard.frames_of(camera.track_id))
        await heard.until(lambda: len(heard.frames_of(camera.track_id)) > before + 10)
    assert heard.of(TrackEnded) == []
    assert heard.of(ParticipantLeft) == []
    assert {frame.epoch for frame in heard.frames_of(camera.track_id)} == {0}


async def test_a_video_nobody_looks_at_is_not_delivered_and_comes_back_with_a_keyframe(
    open_dialect: Opener,
) -> None:
    async with open_dialect() as dialect, dialect.cast(SMALL + ANN):
        room = dialect.join("1234")
        async with dialect.attended(room) as heard:
            await heard.until(lambda: bool(heard.tracks(Source.CAMERA)))
            (camera,) = heard.tracks(Source.CAMERA)
            (microphone,) = heard.tracks(Source.MICROPHONE)
            await heard.until(lambda: len(heard.frames_of(camera.track_id)) > 5)
            room.want_video({})
            await asyncio.sleep(1.0)
            paused = len(heard.frames_of(camera.track_id))
            spoken = len(heard.frames_of(microphone.track_id))
            await asyncio.sleep(1.0)
            assert len(heard.frames_of(camera.track_id)) == paused
            assert len(heard.frames_of(microphone.track_id)) > spoken + 30
            room.want_video({camera.track_id: Size(320, 180)})
            await heard.until(lambda: len(heard.frames_of(camera.track_id)) > paused + 5)
            assert heard.frames_of(camera.track_id)[paused].keyframe


async def test_a_video_nobody_ever_looked_at_is_not_asked_for_keyframes(
    open_dialect: Opener,
) -> None:
    async with open_dialect() as dialect, dialect.cast(SMALL + ANN):
        room = dialect.join("1234")
        room.want_video({})
        async with dialect.attended(room) as heard:
            await heard.until(lambda: bool(heard.tracks(Source.CAMERA)))
            (camera,) = heard.tracks(Source.CAMERA)
            (microphone,) = heard.tracks(Source.MICROPHONE)
            await heard.until(lambda: len(heard.frames_of(microphone.track_id)) > 75)
            counters = room.statistics()[camera.track_id]
            assert (counters.packets_received, counters.keyframe_requests) == (0, 0)
            room.want_video({camera.track_id: Size(320, 180)})
            await heard.until(lambda: len(heard.frames_of(camera.track_id)) > 5)


async def test_silence_of_a_resting_microphone_is_not_opened_and_the_first_word_is_whole(
    open_dialect: Opener,
) -> None:
    word = (
        '[[events]]\nat_s = 4\nuser_id = "ann"\ndo = "voice"\n'
        'microphone = {mode = "tone", level_db = -20}\n'
    )
    quiet = 'camera = false\nmicrophone = {mode = "silent", beep = false}\n'
    async with open_dialect() as dialect, dialect.cast(ANN + quiet + word):
        room = dialect.join("1234")
        async with dialect.attended(room) as heard:
            await heard.until(lambda: bool(heard.frames))
            (microphone,) = heard.tracks()
            room.rest_sound(frozenset({microphone.track_id}))
            await heard.until(lambda: any(map(is_loud, heard.frames)))
            count = len(heard.frames)
            await heard.until(lambda: len(heard.frames) > count + 60)
        statistics = room.statistics()[microphone.track_id]
    first = next(filter(is_loud, heard.frames))
    whole = [f for f in heard.frames if f.rtp_timestamp >= first.rtp_timestamp - 20 * 960]
    steps = [b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(whole)]
    assert (len(whole) > 80, set(steps)) == (True, {960})
    assert first.arrival_ns - whole[0].arrival_ns > 300_000_000
    assert statistics.packets_unopened > 50
    assert statistics.packets_received == statistics.packets_unopened + len(heard.frames)
    assert statistics.packets_lost == 0


async def test_a_keyframe_comes_when_it_is_asked_for(open_dialect: Opener) -> None:
    async with open_dialect() as dialect, dialect.cast(SMALL + ANN):
        room = dialect.join("1234")
        async with dialect.attended(room) as heard:
            await heard.until(lambda: bool(heard.tracks(Source.CAMERA)))
            (camera,) = heard.tracks(Source.CAMERA)
            await heard.until(lambda: len(heard.frames_of(camera.track_id)) > 20)
            before = sum(frame.keyframe for frame in heard.frames_of(camera.track_id))
            room.request_keyframe(camera.track_id)
            await heard.until(
                lambda: sum(f.keyframe for f in heard.frames_of(camera.track_id)) > before
            )
        statistics = room.statistics()[camera.track_id]
    assert statistics.keyframe_requests >= 1
    assert statistics.frames_received == len(heard.frames_of(camera.track_id))
    assert statistics.packets_lost == 0
    assert room.datagrams_dropped() == 0


async def test_a_room_that_says_no_is_refused_and_not_retried(open_dialect: Opener) -> None:
    async with open_dialect() as dialect:
        room = dialect.join(dialect.refused)
        with pytest.raises(RoomRefused):
            async with asyncio.timeout(WITHIN_S):
                await room.run(Listener())
