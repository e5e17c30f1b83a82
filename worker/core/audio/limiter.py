"""Look-ahead true-peak limiter (ITU-R BS.1770-4, annex 2): never above -1 dBTP.

The gain is the smoothed minimum of what the samples ahead require, so it has arrived when
the peak does; it recovers exponentially in decibels. Both channels share one gain.
"""

from functools import cache

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
_WINDOW = np.arange(_TAPS - 1 + _FRAME)
_WORST_GAIN = float(np.abs(_MATRIX).sum(axis=0).max())
_CEILING = float(10 ** (CEILING_DBTP / 20))
_KNOWN_GAINS = BLOCK_SAMPLES - _GAIN_DELAY
"""Of the pending samples these have their gain already."""


class Limiter:
    """Limits a stereo stream; what goes in comes out a block later."""

    def __init__(self) -> None:
        self._pending: NDArray[np.float32] = np.zeros((BLOCK_SAMPLES, 2), np.float32)
        self._history = np.zeros((2, _TAPS - 1), np.float32)
        self._required = np.zeros(LOOKAHEAD_SAMPLES + _GUARD - 1)
        """Attenuation the newest samples ask for, nepers; `_envelope` likewise."""
        self._envelope = np.zeros(LOOKAHEAD_SAMPLES - 1)
        self._gains: NDArray[np.float64] | None = None
        """Of those pending samples whose gain is known; None for all ones."""
        self.reduction_db = 0.0
        """The most the gain was lowered within what went in last, dB."""

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take in (k * 960, 2) float32; returns as many, the pending block first; silence at first.

        The caller must not write *samples* afterwards.
        """
        count = len(samples)
        gains = self._next_gains(samples)
        line = np.concatenate((self._pending, samples))
        limited, self._pending = line[:count], line[count:]
        if gains is None and self._gains is None:
            return limited
        known = np.ones(_KNOWN_GAINS) if self._gains is None else self._gains
        known = np.concatenate((known, np.ones(count) if gains is None else gains))
        self._gains = None if gains is None and count >= _KNOWN_GAINS else known[count:]
        limited *= known[:count, None].astype(np.float32)
        return limited

    def _next_gains(self, samples: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Gains for *samples*, `_GAIN_DELAY` late; None for all ones."""
        required = self._requirement(samples)
        if required is None:
            if self._envelope.max() < IDLE_DB / _DB_PER_NEPER and not self._required.any():
                self._envelope[:] = 0
                self.reduction_db = 0.0
                return None
            required = np.zeros(len(samples))
        ahead = np.concatenate((self._required, required))
        self._required = ahead[len(samples) :]
        held = _trailing_maximum(ahead, LOOKAHEAD_SAMPLES + _GUARD)
        decay, growth = _release(len(samples))
        risen = np.maximum.accumulate(held * growth)
        envelope = decay * np.maximum(risen, self._envelope[-1])
        joined = np.concatenate((self._envelope, envelope))
        self._envelope = joined[len(samples) :]
        smooth = _running_mean(_running_mean(_running_mean(joined, _BOX), _BOX), _BOX)
        smooth = smooth[-len(samples) :]
        self.reduction_db = float(smooth.max()) * _DB_PER_NEPER
        return np.asarray(np.exp(-smooth))

    def _requirement(self, samples: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Attenuation needed, nepers, `_PEAK_DELAY` late; None for none at all."""
        joined = np.concatenate((self._history, samples.T), axis=1)
        self._history = joined[:, len(samples) :].copy()
        magnitude = np.abs(joined).max(axis=0)
        # Between samples the signal cannot rise above this multiple of those around it.
        loud = np.flatnonzero(magnitude * _WORST_GAIN > _CEILING)
        if len(loud) == 0:
            return None
        peaks = magnitude[_PEAK_DELAY : _PEAK_DELAY + len(samples)].astype(np.float64)
        # A frame sees its own samples and the 23 after them, which lie in the frame after.
        is_loud = np.zeros(len(samples) // _FRAME + 1, bool)
        is_loud[loud // _FRAME] = True
        frames = np.flatnonzero(is_loud[:-1] | is_loud[1:])
        windows = joined.take(frames[:, None] * _FRAME + _WINDOW, axis=1)
        between = np.abs(windows.reshape(-1, len(_WINDOW)) @ _MATRIX)
        between = between.reshape(2, -1, 3, _FRAME).max(axis=(0, 2))
        by_frame = peaks.reshape(-1, _FRAME)
        by_frame[frames] = np.maximum(by_frame[frames], between)
        if float(peaks.max()) <= _CEILING:
            return None
        return np.asarray(np.log(np.maximum(peaks / _CEILING, 1.0)))


@cache
def _release(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The exponential recovery over *count* samples, and its inverse."""
    decay = np.exp(-np.arange(1, count + 1) / RELEASE_SAMPLES)
    return decay, 1 / decay


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
