"""Look-ahead true-peak limiter (ITU-R BS.1770-4, annex 2): never above -1 dBTP.

The gain is the smoothed minimum of what the samples ahead require, so it has arrived when
the peak does; it recovers exponentially in decibels. Both channels share one gain.
"""

import numpy as np
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ

TRUE_PEAK_DBTP = -1.0
"""What is promised (EBU R 128)."""
CEILING_DBTP = -1.5
"""What is aimed at: fourfold oversampling may read 0.5 dB low at 20 kHz, where Opus ends."""
LOOKAHEAD_SAMPLES = 4 * SAMPLE_RATE_HZ // 1000
RELEASE_SAMPLES = 150 * SAMPLE_RATE_HZ // 1000
"""Time constant; shorter would distort low voices, longer would be heard as pumping."""
IDLE_DB = 1e-4

_TAPS = 24
_PEAK_DELAY = _TAPS // 2
"""Samples by which the interpolator lags."""
_GUARD = 4
"""The interpolated peaks lie between samples; so many more of them are looked at."""
_GAIN_DELAY = LOOKAHEAD_SAMPLES - 1 + _PEAK_DELAY + _GUARD // 2
"""From a sample to the gain in which it, and all within the look-ahead, is known."""
_FRAME = 40
"""Samples interpolated by one row of the matrix product; divides a block."""
_BOX = LOOKAHEAD_SAMPLES // 3
"""Three running means of this length smooth the gain: a bell of 4 ms, cheaper than a filter."""
_DB_PER_NEPER = 20 / np.log(10)


def _interpolator() -> NDArray[np.float32]:
    """Values a quarter, a half and three quarters behind a sample, (taps, 3); flat to 20 kHz.

    A windowed sinc instead of the standard's example table, whose phases differ by 0.25 dB.
    """
    offset = np.arange(_TAPS)[:, None] - (_TAPS / 2 - 1) - np.array([0.25, 0.5, 0.75])
    window = np.i0(6.0 * np.sqrt(np.clip(1 - (offset / (_TAPS / 2)) ** 2, 0, 1)))
    taps = np.sinc(offset) * window
    return np.asarray(taps / taps.sum(axis=0), np.float32)


def _frame_interpolator() -> NDArray[np.float32]:
    """The interpolator for a whole frame at once: (taps - 1 + frame, 3 * frame)."""
    taps = _interpolator()
    matrix = np.zeros((_TAPS - 1 + _FRAME, 3, _FRAME), np.float32)
    for sample in range(_FRAME):
        matrix[sample : sample + _TAPS, :, sample] = taps
    return matrix.reshape(_TAPS - 1 + _FRAME, 3 * _FRAME)


_MATRIX = _frame_interpolator()
_FRAMES = np.arange(0, BLOCK_SAMPLES, _FRAME)[:, None] + np.arange(_TAPS - 1 + _FRAME)
_WORST_GAIN = float(np.abs(_MATRIX).sum(axis=0).max())
_CEILING = float(10 ** (CEILING_DBTP / 20))
_DECAY = np.exp(-np.arange(1, BLOCK_SAMPLES + 1) / RELEASE_SAMPLES)
_GROWTH = 1 / _DECAY


class Limiter:
    """Limits a stereo stream, block by block; each block comes out when the next one goes in."""

    def __init__(self) -> None:
        self._pending: NDArray[np.float32] = np.zeros((BLOCK_SAMPLES, 2), np.float32)
        self._history = np.zeros((2, _TAPS - 1), np.float32)
        self._required = np.zeros(LOOKAHEAD_SAMPLES + _GUARD - 1)
        """Attenuation the newest samples ask for, nepers; `_envelope` likewise."""
        self._envelope = np.zeros(LOOKAHEAD_SAMPLES - 1)
        self._gains: NDArray[np.float64] | None = None
        self.reduction_db = 0.0
        """The most the gain was lowered within the last block, dB."""

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take in (960, 2) float32; returns the block before it, limited; silence at first.

        The caller must not write *block* afterwards.
        """
        gains = self._next_gains(block)
        limited = self._pending
        if gains is not None or self._gains is not None:
            aligned = np.ones((BLOCK_SAMPLES, 1), np.float32)
            if self._gains is not None:
                aligned[:-_GAIN_DELAY, 0] = self._gains[_GAIN_DELAY:]
            if gains is not None:
                aligned[-_GAIN_DELAY:, 0] = gains[:_GAIN_DELAY]
            limited = limited * aligned
        self._pending, self._gains = block, gains
        return limited

    def _next_gains(self, block: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Gains for the samples of *block*, `_GAIN_DELAY` late; None for all ones."""
        required = self._requirement(block)
        if required is None:
            if self._envelope.max() < IDLE_DB / _DB_PER_NEPER and not self._required.any():
                self._envelope[:] = 0
                self.reduction_db = 0.0
                return None
            required = np.zeros(BLOCK_SAMPLES)
        ahead = np.concatenate((self._required, required))
        self._required = ahead[BLOCK_SAMPLES:]
        held = _trailing_maximum(ahead, LOOKAHEAD_SAMPLES + _GUARD)
        risen = np.maximum.accumulate(held * _GROWTH)
        envelope = _DECAY * np.maximum(risen, self._envelope[-1])
        joined = np.concatenate((self._envelope, envelope))
        self._envelope = joined[BLOCK_SAMPLES:]
        smooth = _running_mean(_running_mean(_running_mean(joined, _BOX), _BOX), _BOX)
        smooth = smooth[-BLOCK_SAMPLES:]
        self.reduction_db = float(smooth.max()) * _DB_PER_NEPER
        return np.asarray(np.exp(-smooth))

    def _requirement(self, block: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Attenuation needed, nepers, `_PEAK_DELAY` late; None for none at all."""
        joined = np.concatenate((self._history, block.T), axis=1)
        self._history = joined[:, BLOCK_SAMPLES:].copy()
        magnitude = np.abs(joined).max(axis=0)
        if float(magnitude.max()) * _WORST_GAIN <= _CEILING:
            return None
        frames = joined.take(_FRAMES, axis=1).reshape(-1, _TAPS - 1 + _FRAME)
        between = np.abs(frames @ _MATRIX)
        peaks = between.reshape(2, -1, 3, _FRAME).max(axis=(0, 2)).reshape(BLOCK_SAMPLES)
        np.maximum(peaks, magnitude[_PEAK_DELAY : _PEAK_DELAY + BLOCK_SAMPLES], out=peaks)
        if float(peaks.max()) <= _CEILING:
            return None
        return np.asarray(np.log(np.maximum(peaks.astype(np.float64) / _CEILING, 1.0)))


def _trailing_maximum(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Maximum of each value and the width - 1 before it, without the first width - 1."""
    reach = 1
    while reach < width:  # each round looks back twice as far
        more = min(reach, width - reach)
        values = np.maximum(values[more:], values[:-more])
        reach += more
    return values


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and the width - 1 before it, without the first width - 1."""
    total = np.cumsum(values)
    mean = total[width - 1 :].copy()
    mean[1:] -= total[:-width]
    mean /= width
    return mean
