"""Encodes the voice of a synthetic sender: a loop of Opus packets whose end joins its beginning.

The encoder gets a run-up, so that its memory at the loop's beginning is that of the loop's end.
"""

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from worker.media.opus import OpusDecoder

_RUN_UPS_BLOCKS = (50, 250, 500, 125)
"""One second is longer than anything libopus remembers at a steady level. But it may settle on
one of several ways to say the same, and on another one after ten seconds than after one."""
_UNHEARD_DB = -30.0
"""What a seam may change, beside the loop's loudness; between blocks of a tone Opus errs by -40."""
_SEAM_BLOCKS = 5
"""So many blocks after a seam are compared: a decoder has found its feet by then."""
_DELAY_SAMPLES = 312
"""What libopus delays by at 48 kHz with 20 ms frames (RFC 6716, OPUS_GET_LOOKAHEAD)."""


def encode_opus_loop(pcm: NDArray[np.float32], bitrate_kbps: int) -> tuple[bytes, ...]:
    """One packet per 20 ms of *pcm*, mono 48 kHz (n,) with n a multiple of 960; in-band FEC.

    Packet k decodes to the samples from k * 960 on: the encoder's look-ahead is taken out. In-band
    FEC needs the encoder to expect losses; it is told 10 percent. Of several run-ups it is the
    first after which nobody hears the seam, or else the one that leaves the least to hear.
    """
    unheard = 10 ** (_UNHEARD_DB / 20) * _rms(pcm)
    loops: list[tuple[float, tuple[bytes, ...]]] = []
    blocks = len(pcm) // BLOCK_SAMPLES
    # A short loop has no room for the longer ones: they would all be the same.
    for run_up in dict.fromkeys(min(blocks, run_up) for run_up in _RUN_UPS_BLOCKS):
        click, loop = _with_run_up(pcm, bitrate_kbps, run_up)
        loops.append((click, loop))
        if click <= unheard:
            break
    return min(loops, key=lambda rated: rated[0])[1]


def _with_run_up(
    pcm: NDArray[np.float32], bitrate_kbps: int, run_up: int
) -> tuple[float, tuple[bytes, ...]]:
    """What is heard of the seam (RMS of what it changes, full scale 1), and the loop."""
    blocks = len(pcm) // BLOCK_SAMPLES
    advanced = np.roll(pcm[: blocks * BLOCK_SAMPLES], run_up * BLOCK_SAMPLES - _DELAY_SAMPLES)
    padded = np.concatenate([advanced, advanced[: run_up * BLOCK_SAMPLES]])
    packets = _encode(padded, bitrate_kbps)
    loop = packets[run_up : run_up + blocks]
    meant = _decode(packets[: run_up + _SEAM_BLOCKS])
    played = _decode((*loop[-run_up:], *loop[:_SEAM_BLOCKS]))
    seam = min(_SEAM_BLOCKS, blocks) * BLOCK_SAMPLES
    return _rms(played[-seam:] - meant[-seam:]), loop


def _encode(pcm: NDArray[np.float32], bitrate_kbps: int) -> tuple[bytes, ...]:
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
    return tuple(
        bytes(packet)
        for start in range(0, len(pcm), BLOCK_SAMPLES)
        for packet in codec.encode(_frame(pcm, start))
    )


def _frame(pcm: NDArray[np.float32], start: int) -> av.AudioFrame:
    samples = np.ascontiguousarray(pcm[np.newaxis, start : start + BLOCK_SAMPLES])
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    frame.pts = start
    return frame


def _decode(packets: Iterable[bytes]) -> NDArray[np.float32]:
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(packet)[:, 0] for packet in packets])


def _rms(pcm: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
