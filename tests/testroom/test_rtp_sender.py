from dataclasses import replace
from random import Random

import pytest

from worker.core.identity import Codec, Kind
from worker.core.timing import NS_PER_S
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, MediaCodec, NegotiatedMedia
from worker.rooms.rtp.h264 import H264Format
from worker.rooms.rtp.packet import RtpPacket, header_extension, parse_rtp
from worker.rooms.rtp.red import split_red
from worker.rooms.rtp.rtcp import (
    ByePacket,
    CnamePacket,
    SenderReportPacket,
    ntp_to_ns,
    parse_rtcp,
)
from worker.rooms.rtp.rtx import unwrap_rtx
from worker.rooms.rtp.vp8 import Vp8Format
from worker.rooms.rtp.vp9 import Vp9Format
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.rtp_sender import HISTORY_PACKETS, RtpSender

VP8 = MediaCodec(96, Codec.VP8, rtx_payload_type=97, feedback=("nack",))
VP9 = MediaCodec(98, Codec.VP9, rtx_payload_type=99, feedback=("nack",))
H264 = MediaCodec(102, Codec.H264, rtx_payload_type=103, feedback=("nack",))
OPUS = MediaCodec(111, Codec.OPUS)
OPUS_WITH_RED = MediaCodec(111, Codec.OPUS, red_payload_type=63, is_red_preferred=True)
KEY = LoopUnit(b"\x00" + b"key" * 1000, keyframe=True)
DELTA = LoopUnit(b"\x01" + b"delta" * 100)
# Headers of VP9 frames, 640x360: a keyframe, and one predicted from the picture before.
VP9_KEY = LoopUnit(bytes.fromhex("824983424027f01670") + b"key" * 1000, keyframe=True)
VP9_DELTA = LoopUnit(bytes.fromhex("86004002") + b"delta" * 100)


def sender(codec: MediaCodec, *, rtx: bool = True, dtx: bool = False, red: int = 0) -> RtpSender:
    kind = Kind.AUDIO if codec.codec is Codec.OPUS else Kind.VIDEO
    media = NegotiatedMedia(
        mid="7",
        kind=kind,
        is_active=True,
        codecs=(codec,),
        ssrcs=(1234,),
        rtx_ssrcs={5678: 1234} if rtx and kind is Kind.VIDEO else {},
        extensions={MID_URI: 1, AUDIO_LEVEL_URI: 2} if kind is Kind.AUDIO else {MID_URI: 1},
    )
    return RtpSender(media, codec, "ada", Random(1), dtx=dtx, red=red)


def parsed(packets: list[bytes]) -> list[RtpPacket]:
    return [parse_rtp(packet) for packet in packets]


def test_a_frame_goes_out_in_packets_that_fit_and_end_with_the_marker():
    packets = list(sender(VP8).video(KEY, 90_000))
    frame = parsed(packets)

    assert len(frame) == 3
    assert max(len(packet) for packet in packets) < 1200
    assert [packet.marker for packet in frame] == [False, False, True]
    assert {packet.timestamp for packet in frame} == {90_000}
    assert {packet.payload_type for packet in frame} == {96}
    assert [packet.sequence - frame[0].sequence for packet in frame] == [0, 1, 2]
    # The colour of a keyframe's header is not ours to check: only that all bytes are there.
    assert b"".join(packet.payload[4:] for packet in frame) == KEY.data


def test_sequence_numbers_and_picture_ids_go_on_from_frame_to_frame():
    one = sender(VP8)
    first, second = parsed([*one.video(KEY, 0)]), parsed([*one.video(DELTA, 3000)])
    ids = [int.from_bytes(packet.payload[2:4], "big") & 0x7FFF for packet in (*first, *second)]

    assert second[0].sequence == first[-1].sequence + 1
    assert ids == [ids[0]] * 3 + [ids[0] + 1]
    assert Vp8Format().starts_frame(second[0].payload)


def test_an_h264_frame_can_be_put_together_again():
    unit = LoopUnit(b"\0\0\0\1\x67sps" + b"\0\0\0\1\x68pps" + b"\0\0\0\1\x65" + b"x" * 4000, True)
    packets = parsed([*sender(H264).video(unit, 0)])

    assert H264Format().starts_keyframe(packets[0].payload)
    assert packets[-1].marker
    assert all(len(packet.payload) <= 1150 for packet in packets)


def test_a_vp9_frame_can_be_put_together_again():
    one = sender(VP9)
    frames = [parsed([*one.video(unit, 0)]) for unit in (VP9_KEY, VP9_DELTA)]
    assembled = [Vp9Format().assemble([packet.payload for packet in each]) for each in frames]

    assert [frame.data for frame in assembled] == [VP9_KEY.data, VP9_DELTA.data]
    assert [frame.is_keyframe for frame in assembled] == [True, False]
    assert len(frames[0]) > 1
    assert frames[0][-1].marker
    assert all(len(packet.payload) <= 1150 for packet in frames[0])


def test_audio_repeats_what_went_before_only_where_that_was_agreed():
    (plain,) = parsed([*sender(OPUS, red=2).audio(LoopUnit(b"x"), 0)])
    one = sender(OPUS_WITH_RED, red=2)
    packets = parsed([one.audio(LoopUnit(b"%d" % k), 960 * k)[0] for k in range(4)])

    assert (plain.payload_type, plain.payload) == (111, b"x")
    assert {packet.payload_type for packet in packets} == {63}
    assert [[(b.age, b.payload) for b in split_red(packet.payload)] for packet in packets] == [
        [(0, b"0")],
        [(960, b"0"), (0, b"1")],
        [(1920, b"0"), (960, b"1"), (0, b"2")],
        [(1920, b"1"), (960, b"2"), (0, b"3")],
    ]


def test_a_microphone_that_was_asked_to_sends_next_to_nothing_in_a_pause():
    """Of each 21 packets two, as libwebrtc does; the packets between are no loss."""
    one = sender(replace(OPUS, parameters="minptime=10;usedtx=1"), dtx=True)
    speech, silence = LoopUnit(b"\x79speech", True, -20), LoopUnit(b"\x79silence", True, -127)
    units = [speech] * 5 + [silence] * 60 + [speech] * 5
    sent = [parsed([*one.audio(unit, 960 * k)]) for k, unit in enumerate(units)]
    packets = [packet for each in sent for packet in each]

    assert [k for k, each in enumerate(sent) if each and 15 <= k < 65] == [15, 35, 36, 56, 57]
    assert [packet.payload for packet in packets if packet.timestamp >= 15 * 960][:3] == [
        b"\x78",
        b"\x79silence",
        b"\x78",
    ]
    assert [packet.sequence - packets[0].sequence for packet in packets] == list(range(25))
    assert [packet.timestamp for packet in packets[-5:]] == [960 * k for k in range(65, 70)]


@pytest.mark.parametrize(("dtx", "parameters"), [(True, "minptime=10"), (False, "usedtx=1")])
def test_pauses_are_sent_unless_both_ends_will_have_them_left_out(dtx: bool, parameters: str):
    one = sender(replace(OPUS, parameters=parameters), dtx=dtx)

    assert all(one.audio(LoopUnit(b"x", True, -127), 960 * k) for k in range(60))


def test_video_begins_with_a_keyframe():
    one = sender(VP8)

    assert one.video(DELTA, 0) == ()
    assert one.video(KEY, 3000)
    assert one.video(DELTA, 6000)


def test_every_packet_names_its_media_section():
    for packet in parsed([*sender(VP8).video(KEY, 0), *sender(OPUS).audio(LoopUnit(b"x"), 0)]):
        assert header_extension(packet, 1) == b"7"


def test_audio_carries_its_level_and_whether_somebody_speaks():
    one = sender(OPUS)
    loud, quiet = parsed(
        [*one.audio(LoopUnit(b"a", True, -20), 0), *one.audio(LoopUnit(b"b", True, -127), 960)]
    )

    assert header_extension(loud, 2) == bytes((0x80 | 20,))
    assert header_extension(quiet, 2) == bytes((127,))
    assert (loud.marker, quiet.marker) == (True, False)


def test_retransmissions_go_over_rtx_when_agreed():
    one = sender(VP8)
    original = list(one.video(KEY, 0))
    wanted = [parse_rtp(packet).sequence for packet in original[1:]]

    repairs = [parse_rtp(packet) for packet in one.resend(wanted)]

    assert {repair.ssrc for repair in repairs} == {5678}
    assert {repair.payload_type for repair in repairs} == {97}
    assert repairs[1].sequence == repairs[0].sequence + 1
    unwrapped = [unwrap_rtx(repair, payload_type=96, ssrc=1234) for repair in repairs]
    assert unwrapped == [parse_rtp(packet) for packet in original[1:]]


def test_retransmissions_are_plain_copies_otherwise():
    one = sender(VP8, rtx=False)
    original = list(one.video(KEY, 0))

    assert list(one.resend([parse_rtp(original[0]).sequence])) == [original[0]]


def test_what_is_no_longer_or_not_yet_in_the_history_is_not_sent():
    one = sender(OPUS)
    first = parse_rtp(one.audio(LoopUnit(b"x"), 0)[0]).sequence
    for block in range(HISTORY_PACKETS):
        one.audio(LoopUnit(b"x"), 960 * block)

    assert one.resend([first]) == []
    assert one.resend([first + HISTORY_PACKETS + 1]) == []
    assert len(one.resend([first + 1])) == 1


def test_numbers_wrap():
    one = sender(OPUS)
    sequences = [parse_rtp(one.audio(LoopUnit(b"x"), 0)[0]).sequence for _ in range(66_000)]

    assert all((b - a) % 65_536 == 1 for a, b in zip(sequences, sequences[1:], strict=False))
    assert 0 in sequences
    wrapped = parse_rtp(one.audio(LoopUnit(b"x"), (1 << 32) + 5)[0])
    assert wrapped.timestamp == 5


def test_a_report_counts_what_was_sent_and_names_the_source():
    one = sender(VP8)
    one.video(KEY, 0)
    one.resend([1, 2, 3])

    report, name = parse_rtcp(one.report(3_976_214_400 * NS_PER_S + 250_000_000, (1 << 32) + 9))

    assert isinstance(report, SenderReportPacket)
    assert ntp_to_ns(report.ntp) == 3_976_214_400 * NS_PER_S + 250_000_000
    assert (report.ssrc, report.rtp_timestamp) == (1234, 9)
    assert (report.packet_count, report.octet_count) == (3, len(KEY.data) + 3 * 4)
    assert name == CnamePacket(((1234, "ada"),))


def test_goodbye_names_the_stream_and_reports_no_time():
    packets = parse_rtcp(sender(VP8).bye())

    assert packets[-1] == ByePacket((1234,))
    assert not any(isinstance(packet, SenderReportPacket) for packet in packets)
