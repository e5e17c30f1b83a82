"""H.264 for the output: libx264, constant frame rate, average bitrate under a buffer limit."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import Flags, ThreadType
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from worker.core.template import EncodeTemplate
from worker.errors import InternalError
from worker.media.canvas import PooledCanvas
from worker.media.colour import tag_context
from worker.ports import Canvas, EncodedPacket, StreamKind, VideoStream

KEYFRAME_INTERVAL_S = 2
_LOOKAHEAD_S = Fraction(1, 3)
"""Ten frames at 30 fps (VMAF of the worst frame +13 over none). In seconds, because what the
encoder holds back is lost when the process is killed."""

_AIM = 0.98
"""Of the template's bitrate. x264's average overshoots by 1 to 2 % over 20 s, and the template is
what a server may have been told to accept."""

_HARD_PIXELS_PER_S = 1280 * 720 * 30
"""Above this one core does not keep up in real time with headroom to spare."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What may be tuned of the video encoder.

    `threads` None or 0: one up to 720p30, else two. A second thread costs 5 to 20 % more CPU.
    `vbv_s` is the size of the rate buffer: the bitrate is kept over any stretch that long.
    """

    preset: str = "superfast"
    threads: int | None = None
    vbv_s: float = 1.5


class X264Encoder:
    """`ports.VideoEncoder`. Not thread-safe."""

    def __init__(self, template: EncodeTemplate, settings: EncoderSettings) -> None:
        self._template = template
        self._keyframe_ticks = KEYFRAME_INTERVAL_S * template.fps
        self._context = _open(template, settings)
        self._last_tick: int | None = None
        self._inside: deque[int] = deque()
        """Ticks whose packets have not come yet."""

    @property
    def stream(self) -> VideoStream:
        extradata = self._context.extradata
        if extradata is None:
            raise InternalError("libx264 gave no global header")
        return VideoStream(self._template, extradata)

    def encode(self, canvas: Canvas, tick: int, *, keyframe: bool) -> Sequence[EncodedPacket]:
        """Encode frame *tick* (pts = tick), as a keyframe every 2 s of ticks or on demand.

        The canvas is read before this returns. Ticks must rise; where some are left out, the
        frame before them lasts until the next.
        """
        if not isinstance(canvas, PooledCanvas) or canvas.size != self._template.size:
            raise InternalError("this canvas is not from the compositor of this job")
        if self._last_tick is not None and tick <= self._last_tick:
            raise InternalError(f"tick {tick} follows tick {self._last_tick}")
        frame = canvas.frame()
        frame.pts = tick
        frame.time_base = self._context.time_base
        if keyframe or self._is_in_another_span(tick):
            frame.pict_type = PictureType.I
        self._last_tick = tick
        self._inside.append(tick)
        return self._run(frame)

    def flush(self) -> Sequence[EncodedPacket]:
        """What is still inside; nothing can be encoded after."""
        return self._run(None)

    def _is_in_another_span(self, tick: int) -> bool:
        """Whether this is the first frame of its 2 s of ticks."""
        last, span = self._last_tick, self._keyframe_ticks
        return last is None or tick // span != last // span

    def _run(self, frame: av.VideoFrame | None) -> list[EncodedPacket]:
        try:
            return [self._plain(packet) for packet in self._context.encode(frame)]
        except av.FFmpegError as exc:
            raise InternalError(f"libx264 failed: {exc.strerror}") from exc

    def _plain(self, packet: "av.Packet[Stream]") -> EncodedPacket:
        if packet.pts is None or packet.dts is None:
            raise InternalError("libx264 gave a packet without a time")
        # Without B-frames they come in order; the lookahead knows what follows.
        tick = self._inside.popleft()
        if packet.pts != tick:
            raise InternalError(f"libx264 gave frame {packet.pts} where {tick} was due")
        return EncodedPacket(
            kind=StreamKind.VIDEO,
            data=bytes(packet),
            pts=tick,
            dts=packet.dts,
            duration=self._inside[0] - tick if self._inside else 1,
            keyframe=packet.is_keyframe,
        )


def average_bps(template: EncodeTemplate) -> int:
    """The bitrate the encoder aims at."""
    return round(template.bitrate_kbps * 1000 * _AIM)


def encoder_threads(template: EncodeTemplate, settings: EncoderSettings) -> int:
    """How many threads encode *template*: as many as *settings* say, else as it needs."""
    is_hard = template.size.width * template.size.height * template.fps > _HARD_PIXELS_PER_S
    return settings.threads or (2 if is_hard else 1)


def x264_options(template: EncodeTemplate, settings: EncoderSettings) -> dict[str, str]:
    """The options of FFmpeg's libx264 that make *template*, but for bitrate and threads."""
    bitrate_bps = template.bitrate_kbps * 1000
    return {
        "preset": settings.preset,
        "profile": "high",
        "maxrate": str(bitrate_bps),
        "bufsize": str(round(bitrate_bps * settings.vbv_s)),
        # A picture forced to be a keyframe is a point where a player can start.
        "forced-idr": "1",
        # Keyframes come from `pict_type` alone, on the same ticks whatever the content: keyint
        # is out of reach and scene cuts are ignored.
        "x264-params": ":".join(
            (
                "mbtree=1",
                f"rc-lookahead={round(_LOOKAHEAD_S * template.fps)}",
                "scenecut=0",
                "bframes=0",
                f"keyint={4 * KEYFRAME_INTERVAL_S * template.fps}",
                "open-gop=0",
                # A buffer that starts full would let the first seconds exceed the bitrate.
                "vbv-init=0.5",
            )
        ),
    }


def _open(template: EncodeTemplate, settings: EncoderSettings) -> VideoCodecContext:
    size, fps = template.size, template.fps
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = size.width, size.height, "yuv420p"
    context.time_base = Fraction(1, fps)
    context.framerate = Fraction(fps)
    context.bit_rate = average_bps(template)
    context.max_b_frames = 0
    context.flags |= Flags.global_header
    context.thread_type = ThreadType.FRAME
    context.thread_count = encoder_threads(template, settings)
    tag_context(context)
    context.options = x264_options(template, settings)
    try:
        context.open()
    except av.FFmpegError as exc:
        raise InternalError(f"libx264 does not open: {exc.strerror}") from exc
    return context
