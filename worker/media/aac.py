"""AAC-LC for the output: 48 kHz stereo, frames of 1024 samples, whatever the blocks were."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags
from av.stream import Stream
from numpy.typing import NDArray

from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import InternalError
from worker.ports import AudioStream, EncodedPacket, StreamKind

CHANNELS = 2
FRAME_SAMPLES = 1024
PRIMING_SAMPLES = 1024
"""The first packet lies this far before sample 0; players skip it by the edit list."""

DEFAULT_BITRATE_KBPS = 128


class AacEncoder:
    """`ports.AudioEncoder`. Not thread-safe.

    Packets carry the time of the input samples, so the first one has pts -1024 (priming).
    """

    def __init__(self, bitrate_kbps: int = DEFAULT_BITRATE_KBPS) -> None:
        self._bitrate_kbps = bitrate_kbps
        self._context = _open(bitrate_kbps)
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_samples = 0
        self._sent_samples = 0

    @property
    def stream(self) -> AudioStream:
        extradata = self._context.extradata
        if extradata is None:
            raise InternalError("the AAC encoder gave no global header")
        return AudioStream(SAMPLE_RATE_HZ, CHANNELS, self._bitrate_kbps, extradata)

    def encode(self, block: NDArray[np.float32]) -> Sequence[EncodedPacket]:
        """*block*: (samples, 2) float32, [-1, 1], any length. Sample m of all blocks has pts m."""
        if block.ndim != 2 or block.shape[1] != CHANNELS:
            raise InternalError(f"a block of shape {block.shape} is not stereo")
        # The caller may write its block again, so what waits is a copy, planar as the encoder's.
        self._waiting.append(np.array(block.T, np.float32, order="C"))
        self._waiting_samples += len(block)
        if self._waiting_samples < FRAME_SAMPLES:
            return []
        whole = self._waiting_samples // FRAME_SAMPLES * FRAME_SAMPLES
        samples = np.concatenate(self._waiting, axis=1)
        self._waiting = [samples[:, whole:]]
        self._waiting_samples -= whole
        packets: list[EncodedPacket] = []
        for start in range(0, whole, FRAME_SAMPLES):
            packets += self._send(samples[:, start : start + FRAME_SAMPLES])
        return packets

    def flush(self) -> Sequence[EncodedPacket]:
        """The rest; the durations of all packets after priming add up to the samples given."""
        packets: list[EncodedPacket] = []
        if self._waiting_samples:
            packets += self._send(np.concatenate(self._waiting, axis=1))
            self._waiting, self._waiting_samples = [], 0
        return packets + self._run(None)

    def _send(self, samples: NDArray[np.float32]) -> list[EncodedPacket]:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout="stereo"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.time_base = self._context.time_base
        frame.pts = self._sent_samples
        self._sent_samples += samples.shape[1]
        return self._run(frame)

    def _run(self, frame: av.AudioFrame | None) -> list[EncodedPacket]:
        try:
            return [_plain(packet) for packet in self._context.encode(frame)]
        except av.FFmpegError as exc:
            raise InternalError(f"the AAC encoder failed: {exc.strerror}") from exc


def _plain(packet: "av.Packet[Stream]") -> EncodedPacket:
    if packet.pts is None or packet.dts is None or packet.duration is None:
        raise InternalError("the AAC encoder gave a packet without a time")
    return EncodedPacket(
        kind=StreamKind.AUDIO,
        data=bytes(packet),
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration,
        keyframe=True,
    )


def _open(bitrate_kbps: int) -> AudioCodecContext:
    context = av.CodecContext.create("aac", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = SAMPLE_RATE_HZ
    context.layout = "stereo"
    context.format = "fltp"
    context.bit_rate = bitrate_kbps * 1000
    context.time_base = Fraction(1, SAMPLE_RATE_HZ)
    context.flags |= Flags.global_header
    # Half the CPU of the default two-loop search.
    context.options = {"aac_coder": "fast"}
    try:
        context.open()
    except av.FFmpegError as exc:
        raise InternalError(f"the AAC encoder does not open: {exc.strerror}") from exc
    return context
