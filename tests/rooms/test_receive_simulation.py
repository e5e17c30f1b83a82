"""Half a minute of video over a bad network in simulated time: NACK, RTX and PLI both ways."""

import heapq
from dataclasses import dataclass
from itertools import count, pairwise
from random import Random

import pytest

from tests.rooms.rtp_material import VIDEO, VideoSender, frame_number
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.rtcp import NackPacket, PliPacket, parse_rtcp

MS = NS_PER_MS
CAMERA = TrackId("camera")
DURATION_NS = 30_000 * MS
SIZES = (500, 1500, 3000, 9000)


@dataclass(frozen=True)
class Network:
    loss: float = 0.0
    delay_ms: int = 20
    jitter_ms: int = 0
    duplicates: float = 0.0
    outage_ms: tuple[int, int] = (0, 0)
    patience_ms: int = 450


@dataclass(frozen=True)
class Outcome:
    shown: list[int]
    sent: int
    keyframes: set[int]
    longest_freeze_ms: float
    requests: int

    @property
    def coverage(self) -> float:
        return len(self.shown) / self.sent


def simulate(network: Network, seed: int) -> Outcome:
    rng = Random(seed)
    sender = VideoSender(sequence=rng.randrange(65536), timestamp=rng.randrange(1 << 32))
    frames: list[EncodedFrame] = []
    statistics: dict[TrackId, TrackStatistics] = {}
    receiver = PeerReceiver(
        ssrc=1,
        on_frame=frames.append,
        on_sender_report=lambda report: None,
        statistics=statistics,
        patience=Patience(video_ns=network.patience_ms * MS),
    )
    receiver.set_tracks({CAMERA: VIDEO}, 0)
    order = count()
    forward: list[tuple[int, int, bytes]] = []
    backward: list[tuple[int, int, bytes]] = []
    history: dict[int, bytes] = {}
    keyframes = set()
    wants_keyframe = True
    next_frame_ns = 0

    def is_lost(now_ns: int) -> bool:
        first_ms, last_ms = network.outage_ms
        return rng.random() < network.loss or first_ms <= now_ns / MS < last_ms

    def send(packet: bytes, now_ns: int) -> None:
        if is_lost(now_ns):
            return
        for _ in range(2 if rng.random() < network.duplicates else 1):
            delay_ms = network.delay_ms + rng.random() * network.jitter_ms
            heapq.heappush(forward, (now_ns + int(delay_ms * MS), next(order), packet))

    for now_ns in range(0, DURATION_NS, MS):
        if now_ns >= next_frame_ns:
            next_frame_ns += 33 * MS
            if wants_keyframe:
                keyframes.add(sender.number)
            for packet in sender.frame(is_keyframe=wants_keyframe, size=rng.choice(SIZES)):
                history[int.from_bytes(packet[2:4], "big")] = packet
                send(packet, now_ns)
            wants_keyframe = False
        while forward and forward[0][0] <= now_ns:
            receiver.on_rtp(heapq.heappop(forward)[2], now_ns)
        if now_ns % (5 * MS) == 0:
            for compound in receiver.poll(now_ns):
                if not is_lost(now_ns):
                    arrival_ns = now_ns + network.delay_ms * MS
                    heapq.heappush(backward, (arrival_ns, next(order), compound))
        while backward and backward[0][0] <= now_ns:
            for feedback in parse_rtcp(heapq.heappop(backward)[2]):
                if isinstance(feedback, PliPacket):
                    wants_keyframe = True
                elif isinstance(feedback, NackPacket):
                    for sequence in feedback.sequences:
                        send(sender.rtx(history[sequence]), now_ns)
    arrivals = [frame.arrival_ns for frame in frames]
    assert {frame.epoch for frame in frames} == {0}
    return Outcome(
        shown=[frame_number(frame.data) for frame in frames],
        sent=sender.number,
        keyframes=keyframes,
        longest_freeze_ms=max(after - before for before, after in pairwise(arrivals)) / MS,
        requests=statistics[CAMERA].keyframe_requests,
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("network", "coverage", "freeze_ms"),
    [
        (Network(loss=0.01), 0.998, 200),
        (Network(loss=0.05), 0.995, 300),
        (Network(loss=0.10), 0.99, 700),
        (Network(loss=0.20), 0.97, 1500),
        (Network(jitter_ms=100, duplicates=0.1), 0.99, 200),
        (Network(loss=0.05, delay_ms=200), 0.83, 2500),
        (Network(loss=0.05, delay_ms=200, patience_ms=1350), 0.96, 1300),
        (Network(loss=0.30, jitter_ms=50, duplicates=0.1), 0.70, 4000),
        (Network(outage_ms=(5000, 5500)), 0.995, 700),
        (Network(outage_ms=(5000, 9000)), 0.84, 5200),
    ],
)
def test_pictures_go_on_and_are_never_damaged(
    network: Network, coverage: float, freeze_ms: float, seed: int
) -> None:
    outcome = simulate(network, seed)
    for before, number in pairwise([-1, *outcome.shown]):
        assert number == before + 1 or (number > before and number in outcome.keyframes)
    assert outcome.coverage >= coverage
    assert outcome.longest_freeze_ms <= freeze_ms
    assert outcome.shown[-1] > outcome.sent - 60, "it goes on to the end"
    assert outcome.requests <= 30, "at most one a second"
