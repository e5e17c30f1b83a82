"""How one stream of packets is cut into files."""

from collections import deque
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.layout.geometry import Size
from worker.core.record.plan import FileCut
from worker.core.template import EncodeTemplate
from worker.errors import DestinationError
from worker.ports import AudioStream, EncodedPacket, Program, StreamKind, VideoStream
from worker.sinks.splitting import Begin, End, Splitter

FPS = 15
FRAME = 48_000 // FPS
VIDEO = VideoStream(EncodeTemplate(Size(64, 36), FPS, 100), b"")
AUDIO = AudioStream(48_000, 2, 128, b"")
BOTH = Program(VIDEO, AUDIO)
SOUND = Program(None, AUDIO)


def picture(tick: int, *, gop: int = 30, extra: tuple[int, ...] = ()) -> EncodedPacket:
    keyframe = tick % gop == 0 or tick in extra
    return EncodedPacket(StreamKind.VIDEO, b"v%d" % tick, tick, tick, 1, keyframe)


def sound(number: int, samples: int = 1024) -> EncodedPacket:
    """Number -1 is the priming."""
    at = number * 1024
    return EncodedPacket(StreamKind.AUDIO, b"a%d" % number, at, at, samples, True)


def sounds(samples: int) -> list[EncodedPacket]:
    """Of an encoder that was given so many samples."""
    last, rest = divmod(samples, 1024)
    return [sound(n) for n in range(-1, last)] + ([sound(last, rest)] if rest else [])


def split(program: Program, packets, cuts, *, at_once: bool = True) -> list[list]:
    """The pieces of each file, from Begin to End."""
    splitter = Splitter(program, deque(FileCut(sample, begins) for sample, begins in cuts))
    pieces = []
    for packet in [packets] if at_once else [[each] for each in packets]:
        pieces += splitter.take(packet)
    pieces += splitter.finish()
    files: list[list] = []
    for piece in pieces:
        if isinstance(piece, Begin):
            files.append([])
        files[-1].append(piece)
    return files


def of_kind(file: list, kind: StreamKind) -> list[EncodedPacket]:
    return [each for each in file if isinstance(each, EncodedPacket) and each.kind is kind]


def heard(file: list) -> tuple[int, int]:
    """From which to which sample of the file something is heard right, without a gap."""
    packets = of_kind(file, StreamKind.AUDIO)
    for before, after in zip(packets, packets[1:], strict=False):
        assert before.pts + before.duration == after.pts
    # The first packet only makes the second one sound right.
    return packets[0].pts + 1024, packets[-1].pts + packets[-1].duration


@pytest.mark.parametrize("cut_tick", [30, 32, 45, 64])
def test_a_cut_loses_and_doubles_no_frame_and_no_sample(cut_tick):
    packets = [picture(tick, extra=(cut_tick,)) for tick in range(90)] + sounds(90 * FRAME)
    first, second = split(BOTH, packets, [(0, True), (cut_tick * FRAME, True)])
    assert first[0] == Begin(0)
    assert first[-1] == End(cut_tick * FRAME)
    assert second[0] == Begin(cut_tick * FRAME)
    assert second[-1] == End(90 * FRAME)
    assert [each.pts for each in of_kind(first, StreamKind.VIDEO)] == list(range(cut_tick))
    assert [each.pts for each in of_kind(second, StreamKind.VIDEO)] == list(range(90 - cut_tick))
    assert [each.data for each in of_kind(second, StreamKind.VIDEO)][0] == b"v%d" % cut_tick
    assert heard(first) == (0, cut_tick * FRAME)
    begin, end = heard(second)
    assert -1024 < begin <= 0
    assert end == (90 - cut_tick) * FRAME


def test_the_order_in_which_the_streams_come_does_not_matter():
    pictures = [picture(tick) for tick in range(60)]
    cuts = [(0, True), (30 * FRAME, True)]
    sound_first = split(BOTH, sounds(60 * FRAME) + pictures, cuts, at_once=False)
    picture_first = split(BOTH, pictures + sounds(60 * FRAME), cuts, at_once=False)
    assert sound_first == picture_first
    assert len(sound_first) == 2


def test_a_files_packets_are_in_order_of_time():
    (file,) = split(BOTH, [picture(t) for t in range(30)] + sounds(30 * FRAME), [(0, True)])
    times = [
        Fraction(each.pts, FPS if each.kind is StreamKind.VIDEO else 48_000)
        for each in file
        if isinstance(each, EncodedPacket)
    ]
    assert times == sorted(times)


def test_while_nobody_is_there_nothing_is_written():
    packets = [picture(tick, extra=(75,)) for tick in range(100)] + sounds(100 * FRAME)
    cuts = [(0, True), (40 * FRAME, False), (75 * FRAME, True)]
    first, second = split(BOTH, packets, cuts)
    assert first[-1] == End(40 * FRAME)
    assert heard(first) == (0, 40 * FRAME)
    assert len(of_kind(first, StreamKind.VIDEO)) == 40
    assert second[0] == Begin(75 * FRAME)
    assert heard(second)[1] == 25 * FRAME
    assert len(of_kind(second, StreamKind.VIDEO)) == 25


def test_without_a_keyframe_the_cut_waits_and_no_frame_is_lost():
    packets = [picture(tick) for tick in range(90)] + sounds(90 * FRAME)
    first, second = split(BOTH, packets, [(0, True), (40 * FRAME, True)])
    assert first[-1] == End(60 * FRAME)
    assert second[0] == Begin(60 * FRAME)
    assert heard(first) == (0, 60 * FRAME)


def test_sound_alone_is_cut_at_the_sample():
    first, second = split(SOUND, sounds(200_000), [(0, True), (96_000, True)])
    assert first[-1] == End(96_000)
    assert heard(first) == (0, 96_000)
    assert second[-1] == End(200_000)
    begin, end = heard(second)
    assert -1024 < begin <= 0
    assert end == 104_000


def test_sound_alone_can_be_cut_between_two_packets():
    first, second = split(SOUND, sounds(20_480), [(0, True), (10_240, True)])
    assert heard(first) == (0, 10_240)
    assert heard(second) == (0, 10_240)


@given(st.lists(st.integers(1, 150), max_size=6, unique=True), st.booleans())
def test_wherever_sound_is_cut_every_sample_is_in_one_file(blocks, at_once):
    cuts = [0, *sorted(block * 1920 for block in blocks)]
    files = split(SOUND, sounds(300_000), [(cut, True) for cut in cuts], at_once=at_once)
    ends = [*cuts[1:], 300_000]
    assert [heard(file)[1] for file in files] == [
        end - cut for cut, end in zip(cuts, ends, strict=True)
    ]
    assert all(-1024 < heard(file)[0] <= 0 for file in files)


def test_after_a_failure_the_next_file_waits_and_begins_on_a_keyframe():
    splitter = Splitter(BOTH, deque([FileCut(0, True)]))
    packets = [picture(tick) for tick in range(200)] + sounds(200 * FRAME)
    pieces = []
    for piece in splitter.take(packets):
        pieces.append(piece)
        if piece == picture(50):
            splitter.lose(wait_samples=2 * 48_000)
    begins = [each for each in pieces if isinstance(each, Begin)]
    # 50 / 15 s and 2 s more are behind frame 80; the next keyframe is 90.
    assert begins == [Begin(0), Begin(90 * FRAME, 90 * FRAME)]
    assert not any(isinstance(each, End) for each in pieces)


def test_nothing_is_begun_without_a_cut():
    assert split(BOTH, [picture(t) for t in range(30)] + sounds(30 * FRAME), []) == []


def test_streams_that_drift_apart_without_end_are_an_error():
    splitter = Splitter(BOTH, deque([FileCut(0, True)]))
    with pytest.raises(DestinationError, match="too far apart"):
        list(splitter.take([sound(number) for number in range(-1, 5001)]))


def test_a_file_that_cannot_be_opened_gets_nothing_and_a_later_one_everything() -> None:
    """Its begin is told, and `lose` is called before the next piece is asked for."""
    splitter = Splitter(BOTH, deque([FileCut(0, begins=True)]))
    packets = [*(picture(tick) for tick in range(90)), *sounds(90 * FRAME)]
    begun, written = [], []
    for piece in splitter.take(packets):
        if isinstance(piece, Begin):
            begun.append(piece.sample)
            if len(begun) == 1:
                splitter.lose(wait_samples=48_000)
        elif isinstance(piece, EncodedPacket):
            written.append(piece)
    assert begun == [0, 30 * FRAME], "on the first keyframe after the wait"
    assert [each.pts for each in written if each.kind is StreamKind.VIDEO][:3] == [0, 1, 2]
