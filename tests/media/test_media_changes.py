"""Streams that change their size again and again, from the bitstream to the pixels of a tile."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media.material import (
    BLUE,
    GREEN,
    RED,
    colour_at,
    encoded,
    flat,
    is_near,
    moving_frames,
    tile,
)
from worker.core.identity import Codec, TrackId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.scene import Scene
from worker.media.compose import TileCompositor
from worker.media.decode import NativeVideoDecoder
from worker.media.frames import picture_of
from worker.media.images import ImageLibrary
from worker.ports import EncodedFrame

CANVAS = Size(320, 240)
TRACK = TrackId("t")
ODD_SIZES = (Size(1, 1), Size(17, 33), Size(2, 2), Size(1, 40), Size(301, 3), Size(1279, 719))
EVEN_SIZES = (Size(16, 16), Size(18, 34), Size(2, 40), Size(302, 4), Size(1280, 720))
CODING_ERROR = 10
"""What quantisation leaves of a colour; the colours differ by more than 50."""


def flat_keyframe(codec: Codec, size: Size, colour: tuple[int, int, int]) -> EncodedFrame:
    names = {Codec.VP8: "libvpx", Codec.VP9: "libvpx-vp9", Codec.H264: "libx264"}
    context = av.CodecContext.create(names[codec], "w")
    context.width, context.height, context.pix_fmt = size.width, size.height, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.thread_count = 1
    context.bit_rate = 1_000_000
    if codec is Codec.H264:
        context.options = {"tune": "zerolatency", "x264-params": "repeat-headers=1"}
    else:
        context.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    packets = context.encode(picture_of(flat(size, colour)).frame)
    return encoded(codec, bytes(packets[0]), keyframe=True, size=size)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9, Codec.H264])
def test_any_size_after_any_other_fills_its_tile(codec: Codec, fit: Fit) -> None:
    """H.264 in 4:2:0 has even sizes only (ITU-T H.264, 7.4.2.1.1)."""
    decoder = NativeVideoDecoder()
    compositor = TileCompositor(CANVAS, ImageLibrary())
    scene = Scene(CANVAS, None, (tile(Rect(0, 0, 320, 240), TRACK, fit=fit),))
    for at, size in enumerate(EVEN_SIZES if codec is Codec.H264 else ODD_SIZES):
        colour = (RED, GREEN, BLUE)[at % 3]
        picture = decoder.decode(flat_keyframe(codec, size, colour))
        assert picture is not None and picture.size == size
        canvas = compositor.compose(scene, {TRACK: picture})
        assert canvas.size == CANVAS
        seen = [(160, 120)] if fit is Fit.CONTAIN else [(0, 0), (319, 0), (160, 120), (319, 239)]
        for x, y in seen:
            assert is_near(colour_at(canvas.planes, x, y), colour, CODING_ERROR), (size, x, y)
        canvas.release()


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_switching_between_small_and_large_needs_no_more_memory_each_time() -> None:
    streams = [
        moving_frames(codec, size, 2)
        for codec in (Codec.VP8, Codec.VP9, Codec.H264)
        for size in (Size(320, 180), Size(1920, 1080))
    ]
    decoder = NativeVideoDecoder()
    compositor = TileCompositor(CANVAS, ImageLibrary())
    scene = Scene(CANVAS, None, (tile(Rect(0, 0, 320, 240), TRACK),))
    resident: list[int] = []
    for _ in range(10):
        for frame in (frame for stream in streams for frame in stream):
            picture = decoder.decode(frame)
            assert picture is not None
            compositor.compose(scene, {TRACK: picture}).release()
        resident.append(resident_kb())
    print("resident after each round, kB:", resident)
    # A picture of 1080p that stayed behind each round would make 18 MB.
    assert resident[-1] - resident[3] < 6_000
