"""Video decoding with FFmpeg's own decoders: one thread, no delay, sizes checked before memory.

A decoder that failed once is thrown away and comes back with a keyframe, so nothing that was
predicted from a damaged picture is ever shown.
"""

from typing import Final

import av
import numpy as np
from av.codec.context import Flags
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.errors import MediaError
from worker.media.frames import FramePicture, picture_of, planes_of
from worker.ports import EncodedFrame

MAX_SIDE_PX = 4096
MAX_PIXELS = 4096 * 2304
"""A 67-byte VP8 keyframe may claim 16383x16383, which costs seconds and 900 MB to decode."""

MAX_FRAME_BYTES = 8 << 20

# FFmpeg's own decoders, not the wrappers of vendor libraries: those ignore `max_pixels`.
_DECODERS: Final = {Codec.VP8: "vp8", Codec.VP9: "vp9", Codec.H264: "h264"}
_OPTIONS: Final = {
    "max_pixels": str(MAX_PIXELS),
    # A broken picture is an error instead of a guess; `explode` makes minor damage count too.
    "err_detect": "crccheck+bitstream+buffer+explode",
}


class NativeVideoDecoder:
    """`ports.VideoDecoder` over libavcodec. Not thread-safe; one per track."""

    def __init__(self) -> None:
        self._context: VideoCodecContext | None = None
        self._codec: Codec | None = None

    def decode(self, frame: EncodedFrame) -> FramePicture | None:
        """The picture of *frame*, upright yuv420p in limited range.

        None when the decoder holds it back (H.264 with reordered pictures). Raises `MediaError`
        for damage, for sizes above 4096 px a side or 4096 x 2304 px in all, and for everything
        that follows such a frame until a keyframe decodes.
        """
        _check_claims(frame)
        context = self._context_for(frame)
        try:
            decoded = context.decode(_packet(frame.data))
        except av.FFmpegError as exc:
            self._context = None
            raise MediaError(f"{frame.codec.value} frame does not decode: {exc.strerror}") from exc
        if not decoded:
            return None
        if any(picture.is_corrupt for picture in decoded):
            self._context = None
            raise MediaError(f"{frame.codec.value} frame is damaged")
        newest = decoded[-1]
        try:
            check_size(Size(newest.width, newest.height))
        except MediaError:
            self._context = None
            raise
        return _upright(_plain(newest), frame.rotation)

    def _context_for(self, frame: EncodedFrame) -> VideoCodecContext:
        if self._context is not None and self._codec is frame.codec:
            return self._context
        if not frame.keyframe:
            raise MediaError("nothing to predict from: a keyframe is needed first")
        self._context = _open(frame.codec)
        self._codec = frame.codec
        return self._context


def check_size(size: Size) -> None:
    """Raise `MediaError` unless a picture of *size* is worth the memory."""
    if not (
        0 < size.width <= MAX_SIDE_PX
        and 0 < size.height <= MAX_SIDE_PX
        and size.width * size.height <= MAX_PIXELS
    ):
        raise MediaError(f"a picture of {size.width}x{size.height} is refused")


def _check_claims(frame: EncodedFrame) -> None:
    if frame.codec not in _DECODERS:
        raise MediaError(f"{frame.codec.value} is not a video codec")
    if not 0 < len(frame.data) <= MAX_FRAME_BYTES:
        raise MediaError(f"a frame of {len(frame.data)} bytes is refused")
    if frame.rotation % 90:
        raise MediaError(f"a rotation of {frame.rotation} degrees is refused")
    if frame.size is not None:
        check_size(frame.size)


def _open(codec: Codec) -> VideoCodecContext:
    context = av.CodecContext.create(_DECODERS[codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.flags |= Flags.low_delay
    context.options = dict(_OPTIONS)
    return context


def _packet(data: bytes) -> "av.Packet[Stream]":
    # A packet made from bytes borrows them, and FFmpeg reads up to 64 bytes past the end; one
    # made by size owns zeroed padding.
    packet: av.Packet[Stream] = av.Packet(len(data))
    packet.update(data)
    return packet


def _plain(frame: av.VideoFrame) -> av.VideoFrame:
    """*frame* as yuv420p in limited range; the usual case costs nothing."""
    if frame.format.name == "yuv420p" and frame.color_range != ColorRange.JPEG:
        return frame
    return frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG, threads=1)


def _upright(frame: av.VideoFrame, clockwise_degrees: int) -> FramePicture:
    turns = clockwise_degrees // 90 % 4
    if turns == 0:
        return FramePicture(frame)
    planes = planes_of(frame)
    return picture_of(
        VideoPlanes(
            np.rot90(planes.y, -turns), np.rot90(planes.u, -turns), np.rot90(planes.v, -turns)
        )
    )
