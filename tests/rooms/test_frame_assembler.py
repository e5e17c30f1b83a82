from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tests.rooms.rtp_material import VideoSender, frame_number
from worker.rooms.receive.assembler import MAX_PACKETS, FrameAssembler
from worker.rooms.rtp.h264 import H264Format
from worker.rooms.rtp.packet import build_rtp, parse_rtp
from worker.rooms.rtp.vp8 import Vp8Format

VP8 = Vp8Format()


class Reader:
    """Feeds an assembler and decodes what comes out, as `VideoStream` does."""

    def __init__(self, first: int = 100) -> None:
        self.assembler = FrameAssembler(first, format_of=lambda packet: VP8)
        self.shown: list[int] = []

    def feed(self, packets: Iterable[bytes]) -> "Reader":
        for data in packets:
            packet = parse_rtp(data)
            self.assembler.insert(packet.sequence, packet, 0)
            self.read()
        return self

    def give_up(self) -> "Reader":
        self.assembler.give_up()
        self.read()
        return self

    def read(self) -> None:
        for gathered in self.assembler.take():
            frame = VP8.assemble([packet.payload for packet in gathered.packets])
            if frame.is_keyframe:
                self.assembler.needs_keyframe = False
            if not self.assembler.needs_keyframe:
                self.shown.append(frame_number(frame.data))


def test_a_frame_leaves_with_its_marker_not_with_the_next_frame() -> None:
    sender = VideoSender()
    key = sender.frame(is_keyframe=True)
    reader = Reader().feed(key[:2])
    assert reader.shown == []
    assert reader.feed(key[2:]).shown == [0]


def test_packets_of_many_frames_in_reverse_come_out_in_order() -> None:
    sender = VideoSender()
    first = sender.frame(is_keyframe=True)
    rest = [packet for _ in range(5) for packet in sender.frame()]
    assert Reader().feed(first).feed(reversed(rest)).shown == [0, 1, 2, 3, 4, 5]


def test_a_first_keyframe_that_comes_backwards_is_whole() -> None:
    sender = VideoSender()
    assert Reader(first=90).feed(reversed(sender.frame(is_keyframe=True))).shown == [0]


def test_without_a_marker_the_next_timestamp_ends_a_frame() -> None:
    sender = VideoSender()
    packets = [*sender.frame(is_keyframe=True), *sender.frame()]
    unmarked = [packet[:1] + bytes((packet[1] & 0x7F,)) + packet[2:] for packet in packets]
    assert Reader().feed(unmarked).shown == [0]


def test_a_gap_holds_everything_back_until_it_is_filled() -> None:
    sender = VideoSender()
    key, lost, after = sender.frame(is_keyframe=True), sender.frame(), sender.frame()
    reader = Reader().feed(key).feed([lost[0], lost[2]]).feed(after)
    assert reader.shown == [0]
    assert reader.assembler.is_waiting_for == 104
    assert reader.feed([lost[1]]).shown == [0, 1, 2]


def test_after_a_gap_is_given_up_nothing_is_shown_until_a_keyframe() -> None:
    sender = VideoSender()
    key, lost, after = sender.frame(is_keyframe=True), sender.frame(), sender.frame()
    reader = Reader().feed(key).feed([lost[0], lost[2]]).feed(after).give_up()
    assert reader.shown == [0]
    assert reader.assembler.needs_keyframe
    assert reader.feed(sender.frame()).shown == [0]
    assert reader.feed(sender.frame(is_keyframe=True)).shown == [0, 4]
    assert reader.feed(sender.frame()).shown == [0, 4, 5]


def test_the_tail_of_a_broken_keyframe_is_not_taken_for_a_frame() -> None:
    sender = VideoSender()
    broken = sender.frame(is_keyframe=True)
    reader = Reader(first=101).feed(broken[1:]).feed(sender.frame())
    assert reader.shown == []
    assert reader.assembler.frames_dropped == 1
    assert reader.assembler.start == sender.sequence


def test_while_a_keyframe_is_needed_its_first_packet_ends_all_waiting() -> None:
    sender = VideoSender()
    key, lost, after = sender.frame(is_keyframe=True), sender.frame(), sender.frame()
    reader = Reader().feed(key).feed([lost[0], lost[2]]).feed(after).give_up()
    broken_again = sender.frame()
    reader.feed([broken_again[2]])
    assert reader.assembler.is_waiting_for is not None
    assert reader.feed(sender.frame(is_keyframe=True)).shown == [0, 4]


def test_giving_up_finds_a_keyframe_that_is_waiting_already() -> None:
    sender = VideoSender()
    reader = Reader().feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    reader.feed([lost[0], lost[2]]).feed(sender.frame()).feed(sender.frame(is_keyframe=True))
    assert reader.shown == [0]
    assert reader.give_up().shown == [0, 3]


def test_padding_packets_are_no_frames() -> None:
    sender = VideoSender()
    reader = Reader().feed(sender.frame(is_keyframe=True))
    padding = build_rtp(
        payload_type=96,
        sequence=sender.sequence,
        timestamp=sender.timestamp - sender.step,
        ssrc=sender.ssrc,
        payload=b"",
    )
    sender.sequence += 1
    assert reader.feed([padding]).feed(sender.frame()).shown == [0, 1]
    assert reader.assembler.frames_dropped == 0


def test_a_late_packet_is_refused() -> None:
    sender = VideoSender()
    key = sender.frame(is_keyframe=True)
    reader = Reader().feed(key)
    assert not reader.assembler.insert(100, parse_rtp(key[0]), 0)


def test_what_waits_is_bounded_and_a_frame_without_end_is_dropped() -> None:
    reader = Reader()
    for offset in range(MAX_PACKETS + 10):
        packet = parse_rtp(
            build_rtp(
                payload_type=96,
                sequence=(100 + offset) % 65536,
                timestamp=1,
                ssrc=2000,
                payload=b"\x10\x10\0\0",
            )
        )
        reader.assembler.insert(100 + offset, packet, 0)
        assert len(reader.assembler._waiting) <= MAX_PACKETS
    assert reader.assembler.needs_keyframe
    assert reader.assembler.frames_dropped == 1


def test_two_parameter_set_packets_in_a_row_begin_one_keyframe() -> None:
    h264 = H264Format()
    assembler = FrameAssembler(1, format_of=lambda packet: h264)
    for sequence, payload in enumerate([b"\x67\x42\xe0\x1f", b"\x67\x42\xe0\x20", b"\x65\x88"], 1):
        packet = build_rtp(
            payload_type=96,
            sequence=sequence,
            timestamp=5,
            ssrc=1,
            payload=payload,
            marker=sequence == 3,
        )
        assembler.insert(sequence, parse_rtp(packet), sequence)
    (gathered,) = assembler.take()
    assert len(gathered.packets) == 3
    assert gathered.arrival_ns == 3


@given(st.data())
def test_shown_frames_are_whole_in_order_and_never_across_a_gap(data: st.DataObject) -> None:
    sender = VideoSender()
    frames = []
    keyframes = set()
    for number in range(12):
        is_keyframe = number == 0 or data.draw(st.integers(0, 5)) == 0
        if is_keyframe:
            keyframes.add(number)
        frames.append(sender.frame(is_keyframe=is_keyframe))
    packets = [(number, packet) for number, frame in enumerate(frames) for packet in frame]
    lost = data.draw(st.sets(st.integers(1, len(packets) - 1), max_size=4))
    kept = [entry for index, entry in enumerate(packets) if index not in lost]
    order = sorted(
        range(len(kept)), key=lambda index: index + data.draw(st.sampled_from([0, 0, 0, 2.5, 6.5]))
    )
    reader = Reader()
    for index in order:
        reader.feed([kept[index][1]])
        if data.draw(st.integers(0, 20)) == 0:
            reader.give_up()
    while reader.assembler.is_waiting_for is not None:
        reader.give_up()
    shown = reader.shown
    assert shown == sorted(set(shown))
    for before, number in zip([-1, *shown], shown, strict=False):
        assert number == before + 1 or number in keyframes
