"""Hostile packets behind SRTP, straight into one connection's receive side (X1, X2, X5).

Time passes as the packets say; what is measured is CPU. The seed is printed with a failure.
"""

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.rooms.rtp_material import VideoSender, frame_number
from tests.support.hostile_packets import MEDIA, HostilePackets
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.media import NegotiatedMedia
from worker.rooms.receive.demultiplex import IDLE_NS
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.rtcp import build_bye, build_cname

PACKETS = 20_000
PACKETS_PER_S = 6000
POLL_NS = 10 * NS_PER_MS
MAX_STEP_MS = 50.0
MAX_FEEDBACK_BYTES_PER_S = 60_000
MAX_MEMORY_BYTES = 20_000_000
MEDIA_OF_TRACKS = {
    TrackId(f"evil/{entry.mid}"): NegotiatedMedia(
        mid=entry.mid,
        kind=entry.kind,
        is_active=True,
        codecs=entry.codecs,
        ssrcs=(entry.ssrc,),
        rtx_ssrcs={} if entry.rtx_ssrc is None else {entry.rtx_ssrc: entry.ssrc},
        extensions=entry.extensions,
    )
    for entry in MEDIA
}
CAMERA = TrackId("evil/1")


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """Collecting what other tests left behind is not this code's time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class Victim:
    """A receive side, its clock, and how long its longest step took."""

    now_ns: int = NS_PER_S
    frames: list[EncodedFrame] = field(default_factory=list)
    statistics: dict[TrackId, TrackStatistics] = field(default_factory=dict)
    longest_ms: float = 0.0
    feedback_bytes: int = 0
    _polled_ns: int = 0

    def __post_init__(self) -> None:
        self.receiver = PeerReceiver(
            ssrc=9,
            on_frame=self._take,
            on_sender_report=lambda report: None,
            statistics=self.statistics,
        )
        self.receiver.set_tracks(MEDIA_OF_TRACKS, self.now_ns)

    def _take(self, frame: EncodedFrame) -> None:
        self.frames.append(frame)
        del self.frames[:-100]

    def rtp(self, packet: bytes, step_ns: int = NS_PER_S // PACKETS_PER_S) -> None:
        self._timed(lambda: self.receiver.on_rtp(packet, self.now_ns))
        self._pass(step_ns)

    def rtcp(self, packet: bytes, step_ns: int = NS_PER_S // PACKETS_PER_S) -> None:
        self._timed(lambda: self.receiver.on_rtcp(packet, self.now_ns))
        self._pass(step_ns)

    def _pass(self, step_ns: int) -> None:
        self.now_ns += step_ns
        if self.now_ns - self._polled_ns >= POLL_NS:
            self._polled_ns = self.now_ns
            self._timed(self._poll)

    def _poll(self) -> None:
        for compound in self.receiver.poll(self.now_ns):
            assert len(compound) <= 1400
            self.feedback_bytes += len(compound)

    def _timed(self, step: Callable[[], None]) -> None:
        began = time.thread_time()
        step()
        self.longest_ms = max(self.longest_ms, 1000 * (time.thread_time() - began))


@pytest.mark.parametrize("seed", range(3))
def test_no_hostile_packet_raises_or_holds_up_or_makes_us_chatter(seed: int) -> None:
    print(f"seed {seed}")
    supply, victim = HostilePackets(seed), Victim()
    began_ns = victim.now_ns
    for index in range(PACKETS):
        if index % 8:
            victim.rtp(supply.rtp())
        else:
            victim.rtcp(supply.rtcp())
    seconds = (victim.now_ns - began_ns) / NS_PER_S
    assert victim.longest_ms <= MAX_STEP_MS
    assert victim.feedback_bytes / seconds <= MAX_FEEDBACK_BYTES_PER_S
    assert victim.receiver.counters.malformed > PACKETS // 20
    assert victim.receiver.counters.unknown > PACKETS // 200
    assert victim.frames, "some of it is harmless, and gets through"


@pytest.mark.parametrize("seed", range(2))
def test_afterwards_a_sane_stream_is_received_as_ever(seed: int) -> None:
    print(f"seed {seed}")
    supply, victim = HostilePackets(seed), Victim()
    for _ in range(PACKETS // 4):
        victim.rtp(supply.rtp())
    victim.rtcp(build_cname(2000, "x") + build_bye([2000]), IDLE_NS)
    sane = VideoSender(ssrc=4000)
    sent = [sane.frame(is_keyframe=index % 50 == 0) for index in range(300)]
    for packets in sent:
        for packet in packets:
            # The MID tells the camera: its announced SSRCs are burnt.
            data = bytearray(packet)
            data[0] |= 0x10
            extended = bytes(data[:12]) + b"\xbe\xde\0\1\x40" + b"1\0\0" + bytes(data[12:])
            victim.rtp(extended, 10 * NS_PER_MS)
    received = [frame_number(frame.data) for frame in victim.frames if frame.track_id == CAMERA]
    assert received == list(range(300 - len(received), 300))
    assert len(received) >= 100 - 1


@pytest.mark.parametrize("stride", [2, 3, 600])
def test_a_stream_full_of_holes_never_holds_up(stride: int) -> None:
    victim = Victim()
    for index in range(20_000):
        packet = build_rtp(
            payload_type=96,
            sequence=stride * index,
            timestamp=3000 * (index // 100),
            ssrc=2000,
            payload=b"\x90\x80\x80\1\x11" + bytes(100),
            marker=index % 100 == 99,
        )
        victim.rtp(packet)
    assert victim.longest_ms <= MAX_STEP_MS


def test_a_thousand_ssrcs_cost_little_memory_and_no_other_track() -> None:
    victim = Victim()
    noise = random.Random(5)
    screen = VideoSender(ssrc=3000)
    frames = 0
    tracemalloc.start()
    try:
        for index in range(10_000):
            packet = build_rtp(
                payload_type=100,
                sequence=noise.randrange(1 << 16),
                timestamp=noise.randrange(1 << 32),
                ssrc=10_000 + index % 1000,
                payload=bytes(1100),
            )
            victim.rtp(packet)
            if index % 20 == 0:
                frames += 1
                for packet in screen.frame(is_keyframe=index == 0, size=300):
                    victim.rtp(packet)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= MAX_MEMORY_BYTES
    assert victim.statistics[TrackId("evil/2")].frames_received == frames
    assert victim.longest_ms <= MAX_STEP_MS


def test_goodbyes_in_masses_end_only_whom_they_name() -> None:
    victim = Victim()
    camera, screen = VideoSender(ssrc=2000), VideoSender(ssrc=3000)
    goodbyes = build_cname(1, "x") + build_bye([1000, 2000, 77]) * 20
    for index in range(300):
        for packet in screen.frame(is_keyframe=index == 0) + camera.frame(is_keyframe=True):
            victim.rtp(packet)
        for _ in range(20):
            victim.rtcp(goodbyes)
    assert victim.statistics[TrackId("evil/2")].frames_received == 300
    assert victim.longest_ms <= MAX_STEP_MS
