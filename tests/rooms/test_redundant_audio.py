"""Redundant audio through the receive side: what was lost comes out of later packets, once."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from tests.rooms.rtp_material import AUDIO, LEVEL_ID, OPUS_PAYLOAD_TYPE
from worker.core.identity import Codec, TrackId
from worker.core.timing import BLOCK_SAMPLES, NS_PER_MS
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.media import MediaCodec
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.packet import build_rtp, parse_rtp
from worker.rooms.rtp.red import RedBlock, join_red
from worker.rooms.rtp.rtcp import NackPacket, parse_rtcp
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.rtp_sender import RtpSender

RED_PAYLOAD_TYPE = 63
OPUS = MediaCodec(
    OPUS_PAYLOAD_TYPE, Codec.OPUS, red_payload_type=RED_PAYLOAD_TYPE, is_red_preferred=True
)
MICROPHONE = TrackId("microphone")
PACKET_NS = 20 * NS_PER_MS


class Ear:
    """Receives one microphone; a packet arrives every 20 ms."""

    def __init__(self, codec: MediaCodec = OPUS) -> None:
        self.media = replace(AUDIO, codecs=(codec,))
        self.frames: list[EncodedFrame] = []
        self.statistics: dict[TrackId, TrackStatistics] = {}
        self.nacks: list[int] = []
        self.now_ns = 0
        self.receiver = PeerReceiver(
            ssrc=1,
            on_frame=self.frames.append,
            on_sender_report=lambda report: None,
            statistics=self.statistics,
        )
        self.receiver.set_tracks({MICROPHONE: self.media}, 0)

    def hear(self, packets: Iterable[bytes | None]) -> "Ear":
        """None stands for a packet that was lost."""
        for packet in packets:
            if packet is not None:
                self.receiver.on_rtp(packet, self.now_ns)
            self.now_ns += PACKET_NS
            for compound in self.receiver.poll(self.now_ns):
                for report in parse_rtcp(compound):
                    if isinstance(report, NackPacket):
                        self.nacks += report.sequences
        return self

    @property
    def heard(self) -> list[bytes]:
        return [frame.data for frame in self.frames]


def spoken(count: int, *, red: int, codec: MediaCodec = OPUS, first: int = 48_000) -> list[bytes]:
    """*count* packets; packet k says so."""
    sender = RtpSender(replace(AUDIO, codecs=(codec,)), codec, "ada", Random(1), red=red)
    return [
        packet
        for k in range(count)
        for packet in sender.audio(
            LoopUnit(b"packet %d" % k, level_dbov=-30), first + k * BLOCK_SAMPLES
        )
    ]


def words(*numbers: int) -> list[bytes]:
    return [b"packet %d" % k for k in numbers]


def test_without_loss_every_packet_comes_out_once() -> None:
    ear = Ear().hear(spoken(10, red=2))
    assert ear.heard == words(*range(10))
    assert [frame.rtp_timestamp for frame in ear.frames] == [48_000 + 960 * k for k in range(10)]
    assert {frame.codec for frame in ear.frames} == {Codec.OPUS}
    assert {frame.level_dbov for frame in ear.frames} == {-30}
    statistics = ear.statistics[MICROPHONE]
    assert (statistics.packets_duplicated, statistics.packets_discarded) == (0, 0)


def test_lost_packets_come_out_of_the_next_one_with_their_own_timestamps() -> None:
    packets: list[bytes | None] = [*spoken(10, red=2)]
    packets[4] = packets[5] = None
    ear = Ear().hear(packets)
    assert ear.heard == words(*range(10))
    assert [b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(ear.frames)] == [960] * 9


def test_a_packet_that_comes_after_its_copy_is_no_fault() -> None:
    packets = spoken(10, red=2)
    packets[4], packets[5] = packets[5], packets[4]
    ear = Ear().hear(packets)
    assert ear.heard == words(*range(10))
    statistics = ear.statistics[MICROPHONE]
    assert (statistics.packets_duplicated, statistics.packets_discarded) == (0, 0)


def test_what_came_before_the_first_packet_comes_out_too() -> None:
    ear = Ear().hear(spoken(10, red=2)[4:])
    assert ear.heard == words(*range(2, 10))


def test_a_sender_may_go_over_to_plain_packets_and_back() -> None:
    packets = [*spoken(4, red=2)]
    plain = build_rtp(
        payload_type=OPUS_PAYLOAD_TYPE,
        sequence=parse_rtp(packets[-1]).sequence,
        timestamp=48_000 + 3 * BLOCK_SAMPLES,
        ssrc=1000,
        payload=b"packet 3",
        extensions={LEVEL_ID: b"\x1e"},
    )
    assert Ear().hear([*packets[:3], plain, *spoken(8, red=2)[4:]]).heard == words(*range(8))


def test_across_a_wrap_and_a_restart_of_timestamps_copies_keep_their_places() -> None:
    ear = Ear().hear(spoken(8, red=2, first=(1 << 32) - 2 * BLOCK_SAMPLES))
    assert ear.heard == words(*range(8))
    steps = [b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(ear.frames)]
    assert steps == [BLOCK_SAMPLES] * 7
    early = Ear().hear(spoken(3, red=2, first=0))
    assert early.heard == words(*range(3))


def test_blocks_of_other_payload_types_and_of_no_age_are_left_out() -> None:
    blocks = [RedBlock(9, 960, b"g722"), RedBlock(111, 0, b"same"), RedBlock(111, 0, b"opus")]
    packet = build_rtp(
        payload_type=RED_PAYLOAD_TYPE,
        sequence=1,
        timestamp=48_000,
        ssrc=1000,
        payload=join_red(blocks),
    )
    assert Ear().hear([packet]).heard == [b"opus"]


@pytest.mark.parametrize("payload", [b"\xef", b"\xef\x0f\x03\xff\x6fx", b"\xef\0\0\0" * 20])
def test_a_malformed_packet_costs_only_itself(payload: bytes) -> None:
    packets = spoken(5, red=0)
    bad = build_rtp(
        payload_type=RED_PAYLOAD_TYPE,
        sequence=parse_rtp(packets[2]).sequence,
        timestamp=48_000 + 2 * BLOCK_SAMPLES,
        ssrc=1000,
        payload=payload,
    )
    ear = Ear().hear([*packets[:2], bad, *packets[3:]])
    assert ear.heard == words(0, 1, 3, 4)
    assert ear.statistics[MICROPHONE].packets_discarded == 1


def test_lost_packets_are_still_asked_for_where_that_was_agreed() -> None:
    codec = replace(OPUS, feedback=("nack",))
    packets: list[bytes | None] = [*spoken(12, red=2, codec=codec)]
    lost, packets[4] = packets[4], None
    ear = Ear(codec).hear(packets)
    assert lost is not None
    assert set(ear.nacks) == {parse_rtp(lost).sequence}
    ear.hear([lost])
    assert ear.heard == words(*range(12)), "the answer is late, its copy was there before"
    assert ear.statistics[MICROPHONE].packets_duplicated == 0


@pytest.mark.parametrize(
    ("red", "lowest", "highest"), [(0, 0.79, 0.81), (1, 0.95, 0.97), (2, 0.985, 1)]
)
def test_with_a_fifth_of_the_packets_lost_two_copies_leave_a_hundredth_missing(
    red: int, lowest: float, highest: float
) -> None:
    """Of independent losses p each with n copies, p^(n+1) stays lost: 20 %, 4 %, 0.8 %."""
    count = 6000
    losses = Random(20)
    sent = [packet if losses.random() >= 0.2 else None for packet in spoken(count, red=red)]
    ear = Ear().hear(sent)
    share = len(ear.frames) / count
    print(f"{red} copies: {share:.2%} of the audio came out, {ear.statistics[MICROPHONE]}")
    assert lowest < share <= highest
    places = {frame.rtp_timestamp: frame.data for frame in ear.frames}
    assert len(places) == len(ear.frames), "nothing comes out twice"
    assert all(data == words((at - 48_000) // 960)[0] for at, data in places.items())
