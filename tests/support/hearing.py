"""Listening to PCM: beeps, tones, levels, clicks, true peak. Pure numpy and scipy.

Everywhere `pcm` is mono float32 or float64 in [-1, 1], (samples,), at 48 kHz. Tones of synthetic
people lie 120 Hz apart, so a window of 1/120 s hears one of them and is deaf to all the others.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE_HZ = 48_000
TONE_WINDOW = RATE_HZ // 120
"""Samples: nulls of this window lie exactly on the tones of the other people."""
BEEP_MS = 100
_HOP = 24
"""Envelopes are computed every half millisecond."""
_RATE_PER_S = RATE_HZ // _HOP
_GRID_TOLERANCE_S = 0.2
"""A clock 200 ppm off moves beeps by 60 ms in five minutes."""

Floats = NDArray[np.float64]


def mono(pcm: NDArray[np.float32]) -> Floats:
    """(samples, channels) to the mean of the channels."""
    return np.asarray(pcm, dtype=np.float64).mean(axis=1)


def envelope(pcm: Floats, tone_hz: float) -> Floats:
    """Amplitude of *tone_hz* every 0.5 ms: point k is centred on sample 24 k."""
    half = np.zeros(TONE_WINDOW // 2)
    padded = np.concatenate([half, pcm, half])
    return _correlation(padded, tone_hz, TONE_WINDOW)[: -(-len(pcm) // _HOP)]


def beep_onsets(pcm: Floats, tone_hz: float, *, floor_db: float = -60.0) -> Floats:
    """Instants, s, at which a beep of 100 ms of *tone_hz* begins; found to about 1 ms.

    A beep is where the tone fills 100 ms and is at most half as strong in the 100 ms before and
    after, so that steady tones and long bursts do not count; and beeps come on a grid of one
    second, so that a syllable that happens to ring at the tone does not count either. *floor_db*
    is the least amplitude of a beep, dB; 26 dB below the loudest one nothing is a beep.
    """
    length = BEEP_MS * RATE_HZ // 1000
    pad = np.zeros(2 * length)
    strength = _correlation(np.concatenate([pad, pcm, pad]), tone_hz, length)
    step = length // _HOP
    beside = np.maximum(np.roll(strength, step), np.roll(strength, -step))
    peaks, _ = signal.find_peaks(
        np.where(beside < strength / 2, strength, 0.0),
        height=max(10 ** (floor_db / 20), 0.05 * float(strength.max(initial=0.0))),
        distance=_RATE_PER_S // 2,
    )
    onsets = np.asarray([_apex(strength, int(peak)) for peak in peaks]) / _RATE_PER_S
    return _on_grid(onsets - len(pad) / RATE_HZ, strength[peaks])


def _correlation(pcm: Floats, tone_hz: float, length: int) -> Floats:
    """Amplitude of *tone_hz* in *length* samples from sample 24 k on, for every k."""
    phase = np.exp(-2j * np.pi * tone_hz / RATE_HZ * np.arange(len(pcm)))
    sums = np.concatenate([[0], np.cumsum(pcm * phase)])
    starts = np.arange(0, len(pcm), _HOP)
    ends = np.minimum(starts + length, len(pcm))
    return np.asarray(2 * np.abs(sums[ends] - sums[starts]) / length)


def _apex(strength: Floats, peak: int) -> float:
    """Where the triangle around *peak* has its tip: half way between its flanks at 3/4 height.

    The flanks of a correlation with a beep are straight and alike, its tip is rounded by noise.
    """
    level = 0.75 * strength[peak]
    left = peak
    while left > 0 and strength[left - 1] > level:
        left -= 1
    right = peak
    while right < len(strength) - 1 and strength[right + 1] > level:
        right += 1
    rise = strength[left] - strength[left - 1] if left > 0 else 1.0
    fall = strength[right] - strength[right + 1] if right < len(strength) - 1 else 1.0
    return (
        float(left - (strength[left] - level) / rise + right + (strength[right] - level) / fall) / 2
    )


def _on_grid(onsets: Floats, weights: Floats) -> Floats:
    """The *onsets* whose place within their second is the common one."""
    if len(onsets) == 0:
        return onsets
    common = np.angle(np.sum(weights * np.exp(2j * np.pi * onsets))) / (2 * np.pi)
    off_grid = np.abs((onsets - common + 0.5) % 1.0 - 0.5)
    return np.asarray(onsets[off_grid < _GRID_TOLERANCE_S])


def tone_levels(
    pcm: Floats, tones_hz: Sequence[float], *, window_ms: int = 100
) -> NDArray[np.float64]:
    """RMS level in dBFS of each tone in each window, (windows, tones); a full-scale sine is -3.

    Tones that are multiples of 1000/window_ms Hz do not disturb each other.
    """
    length = window_ms * RATE_HZ // 1000
    windows = pcm[: len(pcm) // length * length].reshape(-1, length)
    times = np.arange(length) / RATE_HZ
    basis = np.exp(-2j * np.pi * np.outer(times, np.asarray(tones_hz)))
    amplitude = 2 * np.abs(windows @ basis) / length
    return decibels(amplitude / np.sqrt(2))


def loudest(levels: Floats, count: int, *, floor_db: float = -60.0) -> set[int]:
    """Indices of the *count* highest of one row of `tone_levels`; none below the floor."""
    order = np.argsort(levels)[::-1][:count]
    return {int(index) for index in order if levels[index] > floor_db}


def rms_db(pcm: Floats) -> float:
    """RMS of all of *pcm*, dBFS; -200 for digital silence."""
    return float(decibels(np.sqrt(np.mean(np.square(pcm)))))


def rms_levels_db(pcm: NDArray[np.floating], *, window_ms: int) -> Floats:
    """`rms_db` of each window."""
    length = window_ms * RATE_HZ // 1000
    windows = pcm[: len(pcm) // length * length].reshape(-1, length)
    return decibels(np.sqrt(np.mean(np.square(windows, dtype=np.float64), axis=1)))


def true_peak_db(pcm: NDArray[np.float32]) -> float:
    """Highest true peak of (samples,) or (samples, channels), dBTP: four times oversampled.

    ITU-R BS.1770-4 annex 2.
    """
    columns = np.asarray(pcm, dtype=np.float64).reshape(len(pcm), -1)
    peak = 0.0
    overlap = RATE_HZ // 100
    for start in range(0, len(columns), RATE_HZ):
        piece = columns[max(0, start - overlap) : start + RATE_HZ + overlap]
        peak = max(peak, float(np.abs(signal.resample_poly(piece, 4, 1, axis=0)).max()))
    return float(decibels(peak))


def clicks(
    pcm: Floats, *, above_hz: float = 8000.0, threshold_db: float = -50.0, apart_ms: float = 10.0
) -> Floats:
    """Instants, s, where something above *above_hz* exceeds *threshold_db*.

    Tones, beeps and voices of synthetic people end below 8 kHz; a step in the waveform reaches
    up to half the sample rate. The first and the last 5 ms are not judged.
    """
    sections = signal.butter(8, above_hz, "highpass", fs=RATE_HZ, output="sos")
    high = np.abs(signal.sosfiltfilt(sections, pcm))
    edge = RATE_HZ // 200
    high[:edge] = high[-edge:] = 0.0
    loud = np.flatnonzero(high > 10 ** (threshold_db / 20))
    if len(loud) == 0:
        return np.asarray([])
    first = np.concatenate([[True], np.diff(loud) > apart_ms * RATE_HZ / 1000])
    return np.asarray(loud[first] / RATE_HZ)


def silences(
    pcm: Floats, *, below_db: float = -60.0, min_ms: float = 20.0
) -> list[tuple[float, float]]:
    """Stretches (start, end), s, in which no sample exceeds *below_db*, at least *min_ms* long."""
    quiet = np.abs(pcm) <= 10 ** (below_db / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    return [
        (start / RATE_HZ, end / RATE_HZ)
        for start, end in edges.reshape(-1, 2).tolist()
        if end - start >= min_ms * RATE_HZ / 1000
    ]


def level_onset(pcm: Floats, *, threshold_db: float, start_s: float = 0.0) -> float | None:
    """The first instant from *start_s* on at which 1 ms of *pcm* has an RMS above the threshold."""
    start = round(start_s * RATE_HZ)
    length = RATE_HZ // 1000
    body = pcm[start : start + (len(pcm) - start) // length * length].reshape(-1, length)
    loud = np.sqrt(np.mean(np.square(body), axis=1)) > 10 ** (threshold_db / 20)
    return (start + int(np.argmax(loud)) * length) / RATE_HZ if loud.any() else None


def decibels(amplitude: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """20 log10, -200 at most quiet."""
    return 20 * np.log10(np.maximum(amplitude, 1e-10))
