"""An actor with a bad network: real packets through the real receive engine, in rehearsed time."""

import heapq
from collections.abc import Callable
from random import Random

from worker.core.identity import Codec, TrackId, UserId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.receive.receiver import PeerReceiver
from worker.testroom.faults import Impairment, NetworkFaults
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.person import Person
from worker.testroom.rehearsal_receiver import Reception
from worker.testroom.scenario import Actor

START_NS = 7 * NS_PER_S
CAMERA, VOICE = TrackId("camera"), TrackId("voice")


class Lens:
    """A camera that sends a keyframe when it is asked to."""

    def __init__(self) -> None:
        self.requested_ms: list[int] = []
        self.now_ns = 0

    def unit(self, frame: int) -> LoopUnit | None:
        raise NotImplementedError

    def request_keyframe(self) -> None:
        self.requested_ms.append((self.now_ns - START_NS) // NS_PER_MS)


class Stand:
    """Sends a frame every 100 ms and a packet of sound every 20 ms for a while."""

    def __init__(self, faults: NetworkFaults, *, rtx: bool = True) -> None:
        self.frames: list[EncodedFrame] = []
        self.reports: list[SenderReport] = []
        self.statistics: dict[TrackId, TrackStatistics] = {}
        self.lens = Lens()
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._added = 0
        receiver = PeerReceiver(
            ssrc=1,
            on_frame=self.frames.append,
            on_sender_report=self.reports.append,
            statistics=self.statistics,
        )
        self.reception = Reception(
            Actor(UserId("ada"), Person(0, "Ada"), rtx=rtx),
            receiver,
            way=Impairment(faults, "1", start_ns=0),
            way_back=Impairment(faults, "2", start_ns=0),
            start_ns=START_NS,
            seed="3",
            at=self._at,
        )
        self.reception.publish("camera", CAMERA, Codec.VP8, self.lens, START_NS)
        self.reception.publish("voice", VOICE, Codec.OPUS, None, START_NS)

    def run(self, milliseconds: int, *, video: bool = True) -> "Stand":
        for at_ms in range(0, milliseconds, 20):
            self._at(START_NS + at_ms * NS_PER_MS, self._step(at_ms, video=video))
        while self._agenda and self._agenda[0][0] < START_NS + milliseconds * NS_PER_MS:
            self.lens.now_ns, _, call = heapq.heappop(self._agenda)
            call()
        return self

    def arrived(self, track_id: TrackId) -> list[int]:
        """Arrivals of the frames, ms from the start."""
        return [
            (frame.arrival_ns - START_NS) // NS_PER_MS
            for frame in self.frames
            if frame.track_id == track_id
        ]

    def _step(self, at_ms: int, *, video: bool) -> Callable[[], None]:
        def step() -> None:
            now_ns = START_NS + at_ms * NS_PER_MS
            self.reception.send_audio(
                "voice", LoopUnit(b"sound", keyframe=True), at_ms * 48, now_ns
            )
            if video and at_ms % 100 == 0:
                # The header of a VP8 keyframe of 640x360, or of a frame that is none.
                head = b"\x10\0\0\x9d\x01\x2a\x80\x02\x68\x01" if at_ms % 1000 == 0 else b"\x11\0\0"
                unit = LoopUnit(head + Random(at_ms).randbytes(3000), keyframe=at_ms % 1000 == 0)
                self.reception.send_video("camera", unit, at_ms * 90, now_ns)

        return step

    def _at(self, at_ns: int, call: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at_ns, self._added, call))
        self._added += 1


def test_frames_arrive_as_late_as_the_way_is_long():
    stand = Stand(NetworkFaults(delay_ms=30)).run(1000)

    assert stand.arrived(CAMERA) == [*range(30, 1000, 100)]
    assert stand.arrived(VOICE)[:3] == [30, 50, 70]


def test_lost_packets_are_asked_for_over_the_way_back():
    stand = Stand(NetworkFaults(loss=0.1, delay_ms=20)).run(20_000)

    video, audio = stand.statistics[CAMERA], stand.statistics[VOICE]
    assert video.packets_recovered > 40
    assert len(stand.arrived(CAMERA)) > 190
    assert audio.packets_recovered == 0, "nobody keeps sound for that"
    assert 60 < audio.packets_lost < 140


def test_packets_are_repeated_under_their_own_ssrc_where_there_is_no_rtx():
    stand = Stand(NetworkFaults(loss=0.1, delay_ms=20), rtx=False).run(20_000)

    assert stand.statistics[CAMERA].packets_recovered > 40
    assert len(stand.arrived(CAMERA)) > 190


def test_without_rtcp_nothing_is_repeated_or_reported():
    stand = Stand(NetworkFaults(loss=0.1, delay_ms=20, blocks_rtcp=True)).run(5000)
    stand.reception.send_report("camera", NS_PER_S, 0, START_NS)

    assert stand.statistics[CAMERA].packets_recovered == 0
    assert stand.statistics[CAMERA].nacks_sent > 0
    assert stand.lens.requested_ms == []
    assert stand.reports == []


def test_a_keyframe_request_takes_the_way_back():
    stand = Stand(NetworkFaults(delay_ms=50))
    stand.reception.request_keyframe(CAMERA)
    stand.run(500)

    assert stand.lens.requested_ms == [55], "with the next poll"


def test_after_the_end_nothing_arrives():
    stand = Stand(NetworkFaults(delay_ms=50))
    stand.reception.close()
    stand.run(500)

    assert stand.frames == []
