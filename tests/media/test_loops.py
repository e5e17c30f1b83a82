import av
import pytest

from worker.core.identity import Codec, Source
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.errors import MediaError
from worker.media.loops import (
    EncodedUnit,
    LiveVideoEncoder,
    VideoSettings,
    encode_video_loop,
)
from worker.testroom import marks
from worker.testroom.marks import View
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person

SIZE = Size(160, 90)
FPS = 10
VIEW = View.of(SIZE, SIZE)
VIDEO_CODECS = (Codec.VP8, Codec.VP9, Codec.H264)


def pictures(count: int) -> list[VideoPlanes]:
    painter = Painter(Picture(Person(2, "Ada"), Source.CAMERA, SIZE, FPS, 10, 0.5))
    return [painter.paint(frame) for frame in range(count)]


def settings(codec: Codec) -> VideoSettings:
    return VideoSettings(codec, SIZE, FPS, 150)


def counters(units: list[EncodedUnit], codec: Codec) -> list[int | None]:
    """What an independent decoder reads from *units*, in order."""
    decoder = av.CodecContext.create(codec.value.lower(), "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    frames += decoder.decode(None)
    return [
        marks.read_counter(frame.to_ndarray(format="gray")[: SIZE.height], VIEW) for frame in frames
    ]


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_loop_has_a_keyframe_first_and_then_every_second(codec: Codec):
    units = encode_video_loop(pictures(30), settings(codec))

    assert [k for k, unit in enumerate(units) if unit.keyframe] == [0, 10, 20]


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_loop_can_be_entered_at_every_keyframe_and_joins_its_start(codec: Codec):
    units = encode_video_loop(pictures(20), settings(codec))

    shown = counters([*units[10:], *units], codec)

    assert shown == [*range(10, 20), *range(20)]


def test_h264_keyframes_carry_their_parameter_sets():
    units = encode_video_loop(pictures(20), settings(Codec.H264))

    for unit in units:
        assert unit.data.startswith(b"\0\0\0\1")
        types = [piece[0] & 31 for piece in unit.data.split(b"\0\0\1")[1:]]
        assert ({5, 7, 8} <= set(types)) == unit.keyframe


@pytest.mark.parametrize(("profile", "number"), [("baseline", b"\x67\x42"), ("high", b"\x67\x64")])
def test_the_profile_is_the_asked_one(profile: str, number: bytes):
    asked = VideoSettings(Codec.H264, SIZE, FPS, 150, profile)

    assert number in encode_video_loop(pictures(1), asked)[0].data


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_live_encoder_makes_a_keyframe_when_asked(codec: Codec):
    encoder = LiveVideoEncoder(settings(codec))
    units = [
        encoder.encode(planes, keyframe=position == 4)
        for position, planes in enumerate(pictures(8))
    ]

    assert [unit.keyframe for unit in units] == [True, *[False] * 3, True, *[False] * 3]
    assert counters(units[4:], codec) == [4, 5, 6, 7]


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_moving_content_takes_about_the_asked_bitrate(codec: Codec):
    units = encode_video_loop(pictures(60), settings(codec))

    assert sum(len(unit.data) for unit in units) * 8 / 6 / 1000 == pytest.approx(150, rel=0.25)


def test_what_cannot_be_encoded_is_a_media_error():
    with pytest.raises(MediaError, match="OPUS"):
        LiveVideoEncoder(VideoSettings(Codec.OPUS, SIZE, FPS, 150))
    with pytest.raises(MediaError):
        LiveVideoEncoder(VideoSettings(Codec.H264, Size(161, 90), FPS, 150))
