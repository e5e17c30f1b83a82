"""Look-ahead true-peak limiter (ITU-R BS.1770-4, annex 2): never above -1 dBTP.

The gain is the smoothed minimum of what the samples ahead require, so it has arrived when
the peak does; it recovers exponentially in decibels. Both channels share one gain.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ

TRUE_PEAK_DBTP = -1.0
"""What is promised (EBU R 128)."""
CEILING_DBTP = -1.5
"""What is aimed at: fourfold oversampling may read 0.5 dB low at 20 kHz, where Opus ends."""
LOOKAHEAD_SAMPLES = 4 * SAMPLE_RATE_HZ // 1000
RELEASE_SAMPLES = 150 * SAMPLE_RATE_HZ // 1000
"""Time constant; shorter would distort low voices, longer would be heard as pumping."""
IDLE_DB = 1e-3

_TAPS = 12
_PEAK_DELAY = 6
"""Samples by which the interpolator's output lags: half its length."""
_GUARD = 8
_GAIN_DELAY = LOOKAHEAD_SAMPLES + 7
"""From a sample to the gain that already knows the sample's peak and all within the window."""
_PHASES = np.array(
    [
        [0.0017089843750, -0.0291748046875, -0.0189208984375, -0.0083007812500],
        [0.0109863281250, 0.0292968750000, 0.0330810546875, 0.0148925781250],
        [-0.0196533203125, -0.0517578125000, -0.0582275390625, -0.0266113281250],
        [0.0332031250000, 0.0891113281250, 0.1015625000000, 0.0476074218750],
        [-0.0594482421875, -0.1665039062500, -0.2003173828125, -0.1022949218750],
        [0.1373291015625, 0.4650878906250, 0.7797851562500, 0.9721679687500],
        [0.9721679687500, 0.7797851562500, 0.4650878906250, 0.1373291015625],
        [-0.1022949218750, -0.2003173828125, -0.1665039062500, -0.0594482421875],
        [0.0476074218750, 0.1015625000000, 0.0891113281250, 0.0332031250000],
        [-0.0266113281250, -0.0582275390625, -0.0517578125000, -0.0196533203125],
        [0.0148925781250, 0.0330810546875, 0.0292968750000, 0.0109863281250],
        [-0.0083007812500, -0.0189208984375, -0.0291748046875, 0.0017089843750],
    ],
    np.float32,
)
"""The interpolator of BS.1770-4, annex 2: (taps, phases)."""
_WORST_GAIN = float(np.abs(_PHASES).sum(axis=0).max())
_CEILING = float(10 ** (CEILING_DBTP / 20))
_DECAY = np.exp(-np.arange(1, BLOCK_SAMPLES + 1) / RELEASE_SAMPLES)
_SMOOTHING = np.hanning(LOOKAHEAD_SAMPLES + 2)[1:-1]
_SMOOTHING /= _SMOOTHING.sum()


class Limiter:
    """Limits a stereo stream, block by block; each block comes out when the next one goes in."""

    def __init__(self) -> None:
        self._pending: NDArray[np.float32] = np.zeros((BLOCK_SAMPLES, 2), np.float32)
        self._history = np.zeros((2, _TAPS - 1), np.float32)
        self._required_db = np.zeros(LOOKAHEAD_SAMPLES + _GUARD - 1)
        self._envelope_db = np.zeros(LOOKAHEAD_SAMPLES - 1)
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
            ones = np.ones(BLOCK_SAMPLES)
            before = ones if self._gains is None else self._gains
            after = ones if gains is None else gains
            limited = limited * np.concatenate(
                (before[_GAIN_DELAY:, None], after[:_GAIN_DELAY, None])
            ).astype(np.float32)
        self._pending, self._gains = block, gains
        return limited

    def _next_gains(self, block: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Gains for the times of *block*, delayed; None for all ones."""
        required_db = self._requirement_db(block)
        if required_db is None:
            is_idle = (
                self._envelope_db[-1] < IDLE_DB
                and not self._required_db.any()
                and self._envelope_db.max() < IDLE_DB
            )
            if is_idle:
                self._envelope_db[:] = 0
                self.reduction_db = 0.0
                return None
            required_db = np.zeros(BLOCK_SAMPLES)
        ahead_db = np.concatenate((self._required_db, required_db))
        self._required_db = ahead_db[BLOCK_SAMPLES:]
        width = LOOKAHEAD_SAMPLES + _GUARD
        held_db = maximum_filter1d(ahead_db, width, origin=width // 2 - 1 + width % 2)
        held_db = held_db[width - 1 :] if False else _trailing_maximum(ahead_db, width)
        risen = np.maximum.accumulate(held_db / _DECAY)
        envelope_db = _DECAY * np.maximum(risen, self._envelope_db[-1])
        joined_db = np.concatenate((self._envelope_db, envelope_db))
        self._envelope_db = joined_db[BLOCK_SAMPLES:]
        smooth_db = np.convolve(joined_db, _SMOOTHING, "valid")
        self.reduction_db = float(smooth_db.max())
        return np.asarray(10 ** (smooth_db / -20))

    def _requirement_db(self, block: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """By how many dB the signal must come down, lagging by 6 samples; None for nowhere."""
        joined = np.concatenate((self._history, block.T), axis=1)
        self._history = joined[:, BLOCK_SAMPLES:].copy()
        if float(np.abs(joined).max()) * _WORST_GAIN <= _CEILING:
            return None
        windows = sliding_window_view(joined, _TAPS, axis=1).reshape(-1, _TAPS)
        peaks = np.abs(windows @ _PHASES).max(axis=1).reshape(2, BLOCK_SAMPLES).max(axis=0)
        if float(peaks.max()) <= _CEILING:
            return None
        return 20 * np.log10(np.maximum(peaks.astype(np.float64) / _CEILING, 1))


def _trailing_maximum(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Maximum of each value and the width - 1 before it; as long as *values* less those."""
    centred = maximum_filter1d(values, width, mode="nearest")
    start = width // 2
    return np.asarray(centred[start : start + values.shape[0] - width + 1])
