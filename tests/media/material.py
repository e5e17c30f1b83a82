"""Small pictures, encoded frames and PCM for the tests of the media package."""

from fractions import Fraction
from functools import cache

import av
import numpy as np

from worker.core.identity import Codec, TrackId, UserId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.scene import Tile
from worker.core.planes import VideoPlanes
from worker.media.frames import FramePicture, picture_of, planes_of
from worker.ports import EncodedFrame

RED = (81, 90, 240)
GREEN = (145, 54, 34)
BLUE = (41, 240, 110)
WHITE = (235, 128, 128)
BLACK = (16, 128, 128)

_ENCODERS = {
    Codec.VP8: ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.VP9: ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.H264: (
        "libx264",
        {"preset": "superfast", "tune": "zerolatency", "x264-params": "repeat-headers=1"},
    ),
}


def flat(size: Size, yuv: tuple[int, int, int]) -> VideoPlanes:
    """Planes of one colour; sizes may be odd."""
    half = (-(-size.height // 2), -(-size.width // 2))
    return VideoPlanes(
        np.full((size.height, size.width), yuv[0], np.uint8),
        np.full(half, yuv[1], np.uint8),
        np.full(half, yuv[2], np.uint8),
    )


def striped(size: Size, colours: list[tuple[int, int, int]], *, across: bool) -> VideoPlanes:
    """Equal stripes side by side (*across*) or one below the other."""
    planes = flat(size, colours[0])
    length = size.width if across else size.height
    for index, (y, u, v) in enumerate(colours):
        start = 2 * round(index * length / (2 * len(colours)))
        for plane, value, unit in ((planes.y, y, 1), (planes.u, u, 2), (planes.v, v, 2)):
            if across:
                plane[:, start // unit :] = value
            else:
                plane[start // unit :, :] = value
    return planes


def flat_picture(size: Size, yuv: tuple[int, int, int]) -> FramePicture:
    return picture_of(flat(size, yuv))


def colour_at(planes: VideoPlanes, x: int, y: int) -> tuple[int, int, int]:
    return int(planes.y[y, x]), int(planes.u[y // 2, x // 2]), int(planes.v[y // 2, x // 2])


def is_near(one: tuple[int, int, int], other: tuple[int, int, int], tolerance: int = 3) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def tile(
    rect: Rect,
    track: str | None = None,
    *,
    fit: Fit = Fit.COVER,
    label: str = "",
    image: str | None = None,
    opaque: bool = True,
) -> Tile:
    return Tile(
        rect=rect,
        fit=fit,
        user_id=None if track is None else UserId(track),
        track_id=None if track is None else TrackId(track),
        image=image,  # type: ignore[arg-type]
        label=label,
        opaque=opaque,
    )


@cache
def moving_frames(
    codec: Codec,
    size: Size,
    count: int,
    pixel_format: str = "yuv420p",
    options: tuple[tuple[str, str], ...] = (),
) -> tuple[EncodedFrame, ...]:
    """A moving gradient with a little noise, the first frame a keyframe."""
    name, defaults = _ENCODERS[codec]
    context = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = size.width, size.height, pixel_format
    context.time_base = Fraction(1, 30)
    context.framerate = Fraction(30)
    context.bit_rate = 500_000
    context.thread_count = 1
    context.options = {**defaults, **dict(options)}
    packets = []
    for tick in range(count):
        frame = av.VideoFrame(size.width, size.height, "yuv420p")
        _copy(moving_picture(size, tick), planes_of(frame))
        frame = frame.reformat(format=pixel_format)
        frame.pts = tick
        frame.time_base = Fraction(1, 30)
        packets += context.encode(frame)
    packets += context.encode(None)
    return tuple(
        encoded(codec, bytes(packet), keyframe=packet.is_keyframe, size=size) for packet in packets
    )


def moving_picture(size: Size, tick: int) -> VideoPlanes:
    """What `moving_frames` encodes as frame *tick*."""
    noise = np.random.default_rng(tick).integers(-6, 7, (size.height, size.width))
    ramp = np.arange(size.width)[None] * 3 + np.arange(size.height)[:, None] * 2 + tick * 5
    planes = flat(size, (0, 100 + tick, 140))
    planes.y[:] = ramp % 180 + 30 + noise
    return planes


def encoded(
    codec: Codec,
    data: bytes,
    *,
    keyframe: bool,
    size: Size | None = None,
    rotation: int = 0,
) -> EncodedFrame:
    return EncodedFrame(
        track_id=TrackId("t"),
        codec=codec,
        epoch=0,
        rtp_timestamp=0,
        arrival_ns=0,
        keyframe=keyframe,
        data=data,
        size=size if keyframe else None,
        rotation=rotation,
    )


def _copy(source: VideoPlanes, target: VideoPlanes) -> None:
    np.copyto(target.y, source.y)
    np.copyto(target.u, source.u)
    np.copyto(target.v, source.v)
