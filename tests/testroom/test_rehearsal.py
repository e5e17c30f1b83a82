import asyncio
from itertools import pairwise

import av
import pytest

from worker.core.identity import Codec, Kind, Source
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.clock import LoopClock
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomEvent,
    SenderReport,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)
from worker.testroom import marks
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.marks import View
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.rehearsal_receiver import POLL_NS
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.virtual_loop import run_virtual

DEFAULTS = """
loop_s = 2
[defaults.camera]
width = 160
height = 90
fps = 10
bitrate_kbps = 150
[defaults.screen]
width = 160
height = 90
fps = 5
[defaults.microphone]
mode = "beep"
"""
ADA = '[[participants]]\nuser_id = "ada"\nname = "Ada"\n'
START_NS = 5 * NS_PER_S


class Ear:
    """A listener that keeps everything with the instant it came."""

    def __init__(self) -> None:
        self.clock: LoopClock | None = None
        self.events: list[tuple[int, RoomEvent]] = []
        self.frames: list[EncodedFrame] = []
        self.reports: list[SenderReport] = []
        self.late_ns = 0

    def on_event(self, event: RoomEvent) -> None:
        self.events.append((self._now_ns(), event))

    def on_frame(self, frame: EncodedFrame) -> None:
        self.late_ns = max(self.late_ns, abs(self._now_ns() - frame.arrival_ns))
        self.frames.append(frame)

    def on_sender_report(self, report: SenderReport) -> None:
        self.late_ns = max(self.late_ns, abs(self._now_ns() - report.arrival_ns))
        self.reports.append(report)

    def of(self, track_id: str) -> list[EncodedFrame]:
        return [frame for frame in self.frames if frame.track_id == track_id]

    def _now_ns(self) -> int:
        assert self.clock is not None
        return self.clock.now_ns()


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


def rehearse(
    text: str, library: LoopLibrary, seconds: float, request_at_s: float | None = None
) -> tuple[Ear, RehearsalRoom]:
    ear = Ear()

    async def main() -> RehearsalRoom:
        await asyncio.sleep(START_NS / NS_PER_S)
        ear.clock = LoopClock(asyncio.get_running_loop())
        room = RehearsalRoom(parse_scenario(DEFAULTS + text), ear.clock, library)
        if request_at_s is not None:
            asyncio.get_running_loop().call_later(
                request_at_s, lambda: [room.request_keyframe(t) for t in room.statistics()]
            )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await room.run(ear)
        return room

    return ear, run_virtual(main())


def shown(frames: list[EncodedFrame]) -> list[int | None]:
    """The counters a decoder reads from *frames*."""
    name = {Codec.VP8: "vp8", Codec.H264: "h264"}[frames[0].codec]
    decoder = av.CodecContext.create(name, "r")
    pictures = [picture for frame in frames for picture in decoder.decode(av.Packet(frame.data))]
    pictures += decoder.decode(None)
    view = View.of(Size(160, 90), Size(160, 90))
    return [
        marks.read_counter(picture.to_ndarray(format="gray")[:90], view) for picture in pictures
    ]


def test_an_actor_comes_with_tracks_and_then_frames(library: LoopLibrary):
    ear, _ = rehearse(ADA + "join_s = 1\nleave_s = 3\n", library, 5)

    at_s = [(at_ns - START_NS) / NS_PER_S for at_ns, _ in ear.events]
    kinds = [type(event) for _, event in ear.events]
    assert kinds == [
        RoomConnected,
        ParticipantJoined,
        TrackPublished,
        TrackPublished,
        ParticipantLeft,
    ]
    assert at_s == pytest.approx([0, 1, 1, 1, 3], abs=1e-6)
    joined = ear.events[1][1]
    assert isinstance(joined, ParticipantJoined)
    assert (joined.participant.user_id, joined.participant.display_name) == ("ada", "Ada")
    tracks = [event.track for _, event in ear.events if isinstance(event, TrackPublished)]
    assert [(track.kind, track.source) for track in tracks] == [
        (Kind.AUDIO, Source.MICROPHONE),
        (Kind.VIDEO, Source.CAMERA),
    ]
    assert {track.participant_id for track in tracks} == {joined.participant.participant_id}
    assert len(ear.of("ada#1/camera")) == 20
    assert len(ear.of("ada#1/microphone")) == 100


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_frames_decode_to_the_counters_of_their_instants(library: LoopLibrary, codec: str):
    ear, _ = rehearse(f'{ADA}camera = {{ codec = "{codec}" }}', library, 3.05)
    frames = ear.of("ada#1/camera")

    assert shown(frames) == [k % 20 for k in range(31)]
    assert [frame.arrival_ns - START_NS for frame in frames] == [
        k * 100 * NS_PER_MS for k in range(31)
    ]
    assert frames[0].size == Size(160, 90)
    assert frames[1].size is None
    assert [frame.keyframe for frame in frames[:11]] == [True, *[False] * 9, True]


def test_everything_is_delivered_at_its_instant(library: LoopLibrary):
    ear, _ = rehearse(
        f"{ADA}clock_ppm = 333\nnetwork = {{ delay_ms = 50, jitter_ms = 100 }}", library, 4
    )

    # A report that comes before the first frame is kept until the next poll after it.
    assert ear.late_ns <= POLL_NS


def test_audio_has_its_level(library: LoopLibrary):
    ear, _ = rehearse(ADA, library, 1)

    levels = [frame.level_dbov for frame in ear.of("ada#1/microphone")]
    assert levels == [-23] * 5 + [-127] * 45
    assert all(frame.level_dbov is None for frame in ear.of("ada#1/camera"))


def test_a_rehearsal_is_the_same_every_time(library: LoopLibrary):
    text = f"{ADA}network = {{ loss = 0.05, jitter_ms = 30, reorder = 0.05 }}"

    assert rehearse(text, library, 5)[0].frames == rehearse(text, library, 5)[0].frames


def test_a_second_share_and_a_second_presence_are_new_tracks(library: LoopLibrary):
    events = "".join(
        f'\n[[events]]\nat_s = {at_s}\nuser_id = "ada"\ndo = "{do}"\n'
        for at_s, do in [
            (1, "share_screen"),
            (2, "stop_screen"),
            (3, "share_screen"),
            (4, "leave"),
            (5, "rejoin"),
        ]
    )
    ear, room = rehearse(ADA + events, library, 6)

    published = [event.track for _, event in ear.events if isinstance(event, TrackPublished)]
    assert [track.track_id for track in published] == [
        "ada#1/microphone",
        "ada#1/camera",
        "ada#1/screen-1",
        "ada#1/screen-2",
        "ada#2/microphone",
        "ada#2/camera",
    ]
    assert [event.track_id for _, event in ear.events if isinstance(event, TrackEnded)] == [
        "ada#1/screen-1"
    ]
    assert set(room.statistics()) == {track.track_id for track in published}
    assert len(ear.of("ada#1/screen-1")) == 5


def test_mutes_are_told_and_a_muted_camera_sends_nothing(library: LoopLibrary):
    events = "".join(
        f'\n[[events]]\nat_s = {at_s}\nuser_id = "ada"\ndo = "{do}"\n'
        for at_s, do in [(1, "mute_camera"), (2, "leave"), (3, "rejoin"), (4, "unmute_camera")]
    )
    ear, _ = rehearse(ADA + events, library, 6)

    mutes = [event for _, event in ear.events if isinstance(event, TrackMuted)]
    assert mutes == [
        TrackMuted("ada#1/camera", muted=True),
        TrackMuted("ada#2/camera", muted=True),
        TrackMuted("ada#2/camera", muted=False),
    ]
    assert len(ear.of("ada#1/camera")) == 10
    assert shown(ear.of("ada#2/camera")) == [k % 20 for k in range(40, 60)]


def test_reports_tie_audio_and_video_to_one_clock(library: LoopLibrary):
    ear, _ = rehearse(f"{ADA}clock_ppm = -500\nstart_offset_s = 0.3", library, 10)
    rates = {"ada#1/microphone": 48_000, "ada#1/camera": 90_000}
    first = {
        track_id: next(report for report in ear.reports if report.track_id == track_id)
        for track_id in rates
    }

    assert first["ada#1/microphone"].ntp_ns == first["ada#1/camera"].ntp_ns
    for track_id, rate_hz in rates.items():
        for frame in ear.of(track_id):
            ticks = frame.rtp_timestamp - first[track_id].rtp_timestamp
            local_ns = (frame.arrival_ns - START_NS) * 0.9995
            assert ticks / rate_hz * NS_PER_S == pytest.approx(local_ns, abs=30_000)


def test_reports_arrive_over_the_same_network(library: LoopLibrary):
    ear, _ = rehearse(f"{ADA}network = {{ delay_ms = 70 }}", library, 3)

    assert [(report.arrival_ns - START_NS) // NS_PER_MS for report in ear.reports] == [
        *[70] * 2,
        *[1070] * 2,
        *[2070] * 2,
    ]


def test_lost_audio_is_missing_and_video_recovers_or_waits_for_a_keyframe(library: LoopLibrary):
    ear, room = rehearse(f"{ADA}network = {{ loss = 0.25, delay_ms = 120 }}", library, 20)
    statistics = room.statistics()
    audio, video = statistics["ada#1/microphone"], statistics["ada#1/camera"]

    assert 180 < audio.packets_lost < 320
    assert len(ear.of("ada#1/microphone")) == pytest.approx(994 - audio.packets_lost, abs=20)
    assert video.packets_recovered > 10
    assert video.frames_dropped > 10
    frames = ear.of("ada#1/camera")
    counters = shown(frames)
    # Nothing damaged: every picture is the one that was sent with its timestamp.
    sent = [(frame.rtp_timestamp - frames[0].rtp_timestamp) // 9000 for frame in frames]
    assert counters == [k % 20 for k in sent]
    for before, after in pairwise(frames):
        if after.rtp_timestamp - before.rtp_timestamp > 9000:
            assert after.keyframe


def test_reordered_audio_is_delivered_as_it_arrives(library: LoopLibrary):
    ear, _ = rehearse(f"{ADA}network = {{ reorder = 0.2 }}", library, 5)
    frames = ear.of("ada#1/microphone")

    assert any(b.rtp_timestamp < a.rtp_timestamp for a, b in pairwise(frames))
    assert all(b.arrival_ns >= a.arrival_ns for a, b in pairwise(frames))


def test_a_live_camera_answers_the_rooms_keyframe_request(library: LoopLibrary):
    ear, room = rehearse(f"{ADA}camera = {{ live = true }}", library, 2, request_at_s=0.45)
    keyframes = [k for k, frame in enumerate(ear.of("ada#1/camera")) if frame.keyframe]

    assert 5 in keyframes
    assert room.statistics()["ada#1/camera"].keyframe_requests == 1
    assert room.statistics()["ada#1/microphone"].keyframe_requests == 0


def test_keyframe_requests_are_passed_on_once_a_second(library: LoopLibrary):
    async def main() -> int:
        clock = LoopClock(asyncio.get_running_loop())
        room = RehearsalRoom(parse_scenario(DEFAULTS + ADA), clock, library)
        ear = Ear()
        ear.clock = clock
        async with asyncio.TaskGroup() as group:
            running = group.create_task(room.run(ear))
            await asyncio.sleep(1)
            for _ in range(30):
                room.request_keyframe("ada#1/camera")
                await asyncio.sleep(0.1)
            room.request_keyframe("nobody/camera")
            running.cancel()
        return room.statistics()["ada#1/camera"].keyframe_requests

    assert run_virtual(main()) == 3
