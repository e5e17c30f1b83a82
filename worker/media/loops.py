"""Encodes the media of synthetic senders: loops that are replayed, or a camera that runs live.

A loop starts with a keyframe and refers to nothing before it, so its end joins its start. Audio
loops are encoded with a run-up, so that the encoder's memory at the seam is that of the loop's end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
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


def encode_opus_loop(pcm: NDArray[np.float32], bitrate_kbps: int) -> tuple[bytes, ...]:
    """One packet per 20 ms of *pcm*, mono 48 kHz (n,) with n a multiple of 960; in-band FEC.

    Packet k decodes to the samples from k * 960 on: the encoder's look-ahead is taken out. In-band
    FEC needs the encoder to expect losses; it is told 10 percent.
    """
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate = SAMPLE_RATE_HZ
    codec.layout = "mono"
    codec.format = "flt"
    codec.bit_rate = bitrate_kbps * 1000
    codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
    codec.options = {
        "application": "voip",
        "frame_duration": "20",
        "fec": "1",
        "packet_loss": "10",
    }
    codec.open()
    blocks = len(pcm) // BLOCK_SAMPLES
    run_up = min(blocks, _RUN_UP_BLOCKS)
    advanced = np.roll(pcm[: blocks * BLOCK_SAMPLES], run_up * BLOCK_SAMPLES - _OPUS_DELAY_SAMPLES)
    padded = np.concatenate([advanced, advanced[: run_up * BLOCK_SAMPLES]])
    packets = [
        bytes(packet)
        for block in range(blocks + run_up)
        for packet in codec.encode(_audio_frame(padded, block))
    ]
    return tuple(packets[run_up : run_up + blocks])


_RUN_UP_BLOCKS = 50
"""One second: longer than anything libopus remembers at a steady level."""
_OPUS_DELAY_SAMPLES = 312
"""What libopus delays by at 48 kHz with 20 ms frames (RFC 6716, OPUS_GET_LOOKAHEAD)."""


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


def _audio_frame(pcm: NDArray[np.float32], block: int) -> av.AudioFrame:
    start = block * BLOCK_SAMPLES
    samples = np.ascontiguousarray(pcm[np.newaxis, start : start + BLOCK_SAMPLES])
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    frame.pts = start
    return frame
