"""FLV tags, compared with those FFmpeg's own muxer makes of the same packets."""

import io
from fractions import Fraction

import av
import pytest

from tests.support.live_packets import FPS, footage
from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import InternalError
from worker.media.flv import FlvMuxer, FlvTag, TagKind, avc_configuration, length_prefixed
from worker.media.flv_amf import read_amf
from worker.ports import EncodedPacket, Program, StreamKind

SHOWN = footage(3)
VIDEO = SHOWN.program.video
AUDIO = SHOWN.program.audio


def tags_in(data: bytes) -> list[FlvTag]:
    """Every tag of an FLV file."""
    assert data[:3] == b"FLV"
    position, tags = 13, []
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        stamp = data[position + 4 : position + 7]
        timestamp_ms = int.from_bytes(data[position + 7 : position + 8] + stamp, "big")
        body = data[position + 11 : position + 11 + size]
        tags.append(FlvTag(TagKind(data[position]), timestamp_ms, body))
        position += 15 + size
    return tags


def by_kind(tags, kind: TagKind) -> list[FlvTag]:
    return [tag for tag in tags if tag.kind is kind]


@pytest.fixture(scope="module")
def reference() -> list[FlvTag]:
    """What FFmpeg writes, with the same shift in time as ours."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(), "w", format="mp4") as blueprint,
        av.open(file, "w", format="flv") as container,
    ):
        size = {"width": 320, "height": 180}
        video = container.add_stream_from_template(
            blueprint.add_stream("libx264", rate=FPS, time_base=Fraction(1, FPS), **size),
            opaque=True,
        )
        audio = container.add_stream_from_template(
            blueprint.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo"), opaque=True
        )
        video.codec_context.extradata = VIDEO.extradata
        audio.codec_context.extradata = AUDIO.extradata
        for each in SHOWN.packets:
            is_video = each.kind is StreamKind.VIDEO
            packet = av.Packet(each.data)
            packet.stream = video if is_video else audio
            packet.time_base = Fraction(1, FPS if is_video else SAMPLE_RATE_HZ)
            packet.pts, packet.dts, packet.duration = each.pts, each.dts, each.duration
            packet.is_keyframe = each.keyframe
            container.mux(packet)
    return tags_in(file.getvalue())


@pytest.fixture(scope="module")
def ours() -> list[FlvTag]:
    muxer = FlvMuxer(SHOWN.program)
    return [*muxer.opening(0), *(muxer.tag(packet) for packet in SHOWN.packets)]


@pytest.mark.parametrize("kind", [TagKind.VIDEO, TagKind.AUDIO])
def test_headers_and_packets_are_byte_for_byte_what_ffmpeg_writes(reference, ours, kind):
    expected = [tag.body for tag in by_kind(reference, kind)]
    if kind is TagKind.VIDEO:
        assert expected.pop()[1] == 2, "FFmpeg marks the end of the sequence in files"

    assert [tag.body for tag in by_kind(ours, kind)] == expected


def test_times_begin_with_the_first_sound_and_sound_and_pictures_stay_together(reference, ours):
    for kind in (TagKind.VIDEO, TagKind.AUDIO):
        expected = [tag.timestamp_ms for tag in by_kind(reference, kind)]
        times_ms = [tag.timestamp_ms for tag in by_kind(ours, kind)]
        assert times_ms == sorted(times_ms)
        assert times_ms == pytest.approx(expected[: len(times_ms)], abs=1)
    assert by_kind(ours, TagKind.AUDIO)[1].timestamp_ms == 0
    assert by_kind(ours, TagKind.VIDEO)[1].timestamp_ms == 21


def test_metadata_says_what_the_streams_are(ours):
    (script,) = by_kind(ours, TagKind.SCRIPT)
    name, facts = read_amf(script.body)

    assert name == "onMetaData"
    assert facts == {
        "encoder": "mixworker",
        "width": 320,
        "height": 180,
        "framerate": 15,
        "videodatarate": 320,
        "videocodecid": 7,
        "audiosamplerate": 48_000,
        "audiosamplesize": 16,
        "stereo": True,
        "audiodatarate": 128,
        "audiocodecid": 10,
    }


def test_the_headers_can_be_sent_again_at_any_time():
    muxer = FlvMuxer(SHOWN.program)

    assert [tag.timestamp_ms for tag in muxer.opening(7_000)] == [7_000] * 3


def test_a_program_of_sound_alone_says_nothing_of_pictures():
    tags = FlvMuxer(Program(None, AUDIO)).opening(0)

    assert [tag.kind for tag in tags] == [TagKind.SCRIPT, TagKind.AUDIO]
    assert "width" not in read_amf(tags[0].body)[1]


def test_a_picture_shown_later_than_decoded_says_so():
    packet = EncodedPacket(
        StreamKind.VIDEO, b"\0\0\1\x41abc", pts=17, dts=15, duration=1, keyframe=False
    )
    tag = FlvMuxer(SHOWN.program).tag(packet)

    assert tag.timestamp_ms == 1021
    assert tag.body[:5] == bytes((0x27, 1, 0, 0, 133))


def test_start_codes_of_three_and_four_bytes_become_lengths():
    unit = b"\0\0\0\1\x67ab\0\0\1\x65cde\0\0\0\1\x41f"

    assert length_prefixed(unit) == b"\0\0\0\3\x67ab\0\0\0\4\x65cde\0\0\0\2\x41f"


def test_a_baseline_header_has_no_statement_of_the_sample_format():
    record = avc_configuration(b"\0\0\0\1\x67\x42\xc0\x1e\xab\0\0\0\1\x68\xce")

    assert record == bytes.fromhex("01 42c01e ff e1 0005 6742c01eab 01 0002 68ce")


@pytest.mark.parametrize("data", [b"", b"abc", b"\0\0\1", b"\0\0\1\0\0\1\x65"])
def test_what_is_not_annex_b_is_a_bug_of_ours(data):
    with pytest.raises(InternalError):
        length_prefixed(data)


def test_a_header_without_parameter_sets_is_a_bug_of_ours():
    with pytest.raises(InternalError):
        avc_configuration(b"\0\0\0\1\x67\x42\xc0\x1e\xab")


def test_a_program_without_a_stream_is_a_bug_of_ours():
    with pytest.raises(InternalError):
        FlvMuxer(Program(None, None))
