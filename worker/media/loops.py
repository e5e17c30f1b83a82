"""Encodes the pictures of synthetic senders: loops that are replayed, or a camera that runs live.

A loop starts with a keyframe and refers to nothing before it, so its end joins its start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np

from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.errors import MediaError

KEYFRAME_INTERVAL_S = 1
"""A replayed loop answers a keyframe request with its next keyframe, so at most this late."""

_ENCODERS: Final = {Codec.VP8: "libvpx", Codec.VP9: "libvpx-vp9", Codec.H264: "libx264"}
_VP8_OPTIONS: Final = {
    "deadline": "realtime",
    "cpu-used": "16",  # a third of the CPU of 8, and the marks are read just as well
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
    # A keyframe of at most ten mean frames, or it alone would fill a narrow uplink for a second.
    "max-intra-rate": "1000",
}
_VP9_OPTIONS: Final = {
    "deadline": "realtime",
    "speed": "9",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
    "max-intra-rate": "1000",
}
_X264_OPTIONS: Final = {
    "preset": "superfast",
    "tune": "zerolatency",
    # Parameter sets with every keyframe, closed groups only: a decoder may start at any of them.
    # One slice per picture, as hardware senders make it.
    "x264-params": "repeat-headers=1:scenecut=0:open-gop=0:sliced-threads=0",
}


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """One access unit (H.264 with Annex B start codes) or one Opus packet."""

    data: bytes
    keyframe: bool


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How a synthetic camera encodes. `h264_profile` is "baseline" or "high"."""

    codec: Codec
    size: Size
    fps: int
    bitrate_kbps: int
    h264_profile: str = "baseline"


class LiveVideoEncoder:
    """Encodes one camera with the lowest delay; a keyframe whenever asked for.

    Raises `MediaError` for a codec or a size that cannot be encoded. Not thread-safe.
    """

    def __init__(self, settings: VideoSettings) -> None:
        try:
            codec = av.CodecContext.create(_ENCODERS[settings.codec], "w")
        except KeyError:
            raise MediaError(f"cannot encode {settings.codec.value}") from None
        assert isinstance(codec, av.VideoCodecContext)
        codec.width, codec.height = settings.size.width, settings.size.height
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, settings.fps)
        codec.framerate = Fraction(settings.fps)
        codec.bit_rate = settings.bitrate_kbps * 1000
        codec.gop_size = KEYFRAME_INTERVAL_S * settings.fps
        codec.thread_count = 1
        codec.options = _options(settings)
        try:
            codec.open()
        except av.FFmpegError as exc:
            raise MediaError(f"the encoder refuses {settings}") from exc
        self._codec = codec
        self._frames = 0

    def encode(self, planes: VideoPlanes, *, keyframe: bool = False) -> EncodedUnit:
        """The access unit of *planes*, which must have the size of the settings."""
        frame = _video_frame(planes)
        frame.pts = self._frames
        frame.time_base = self._codec.time_base
        if keyframe or self._frames == 0:
            frame.pict_type = av.video.frame.PictureType.I
        self._frames += 1
        packets = self._codec.encode(frame)
        if len(packets) != 1:
            raise MediaError(f"expected one packet per frame, got {len(packets)}")
        return EncodedUnit(bytes(packets[0]), packets[0].is_keyframe)


def encode_video_loop(
    pictures: Iterable[VideoPlanes], settings: VideoSettings
) -> tuple[EncodedUnit, ...]:
    """One unit per picture, a keyframe first and then once a second. Raises `MediaError`."""
    encoder = LiveVideoEncoder(settings)
    interval = KEYFRAME_INTERVAL_S * settings.fps
    return tuple(
        encoder.encode(planes, keyframe=position % interval == 0)
        for position, planes in enumerate(pictures)
    )


def _options(settings: VideoSettings) -> dict[str, str]:
    if settings.codec is Codec.VP8:
        return dict(_VP8_OPTIONS)
    if settings.codec is Codec.VP9:
        return dict(_VP9_OPTIONS)
    return {**_X264_OPTIONS, "profile": settings.h264_profile}


def _video_frame(planes: VideoPlanes) -> av.VideoFrame:
    packed = np.concatenate([planes.y.ravel(), planes.u.ravel(), planes.v.ravel()])
    height, width = planes.y.shape
    return av.VideoFrame.from_ndarray(packed.reshape(height * 3 // 2, width), format="yuv420p")
