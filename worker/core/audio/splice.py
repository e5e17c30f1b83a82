"""Taking a stretch of a few milliseconds out of a sound, or playing one twice, unheard.

The stretch is a whole number of pitch periods where there are any: the sound is joined to itself
at the lag at which it is most alike (waveform similarity overlap-add). Unlike resampling this
leaves the pitch alone, so it may go twenty times as fast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ

LEAST_LAG = SAMPLE_RATE_HZ // 400
MOST_LAG = 15 * SAMPLE_RATE_HZ // 1000
"""2.5 to 15 ms: one to several periods of any voice."""
OVERLAP = 10 * SAMPLE_RATE_HZ // 1000
"""Compared and cross-faded: at least half a period of the lowest voices."""
BEHIND = MOST_LAG - (BLOCK_SAMPLES - OVERLAP)
"""Samples before the block that are needed to play something twice."""
SILENCE = 1e-6
"""Mean square, -60 dBFS: in this nobody hears a splice, whatever the lag."""
LONG_BONUS = 0.02
"""Of periods that fit about equally well the longer one is taken: fewer splices are needed."""
_PLACES = range(0, BLOCK_SAMPLES - OVERLAP + 1, OVERLAP // 4)
_FADE = 0.5 - 0.5 * np.cos(np.pi * (np.arange(OVERLAP) + 0.5) / OVERLAP)


@dataclass(frozen=True, slots=True)
class Splice:
    """Where in the block two parts of the sound are joined, and how well they fit."""

    at: int
    """The first sample of the cross-fade."""
    lag: int
    """Samples the sound jumps ahead there; negative: back."""
    likeness: float
    """Normalised correlation of what is joined; 1 in silence."""
    is_silent: bool = False


def find_splice(samples: NDArray[np.float32], most: int) -> Splice:
    """The best place and lag to jump ahead by up to *most* samples, or back when it is negative.

    *samples* is (BEHIND + 960 + MOST_LAG, channels) float32, the block after `BEHIND`; |most| is at
    least `LEAST_LAG`.
    """
    sound = samples.T.astype(np.float64)
    energy = np.concatenate(([0.0], np.cumsum(np.square(sound).sum(axis=0))))
    reach = min(abs(most), MOST_LAG)
    mean_square = energy[-1] / sound.size
    # The quietest place hides a splice best; jumping back, the lag must fit in before it.
    places = _PLACES if most > 0 else [at for at in _PLACES if at + BEHIND >= reach]
    at = min(places, key=lambda place: energy[place + BEHIND + OVERLAP] - energy[place + BEHIND])
    if mean_square < SILENCE:
        return Splice(at, reach if most > 0 else -reach, 1.0, is_silent=True)
    start = at + BEHIND
    lags = np.arange(LEAST_LAG, reach + 1) if most > 0 else np.arange(-reach, 1 - LEAST_LAG)
    there = slice(start + lags[0], start + lags[-1] + OVERLAP)
    products = sum(np.correlate(row[there], row[start : start + OVERLAP]) for row in sound)
    first = start + lags
    powers = (energy[first + OVERLAP] - energy[first]) * (energy[start + OVERLAP] - energy[start])
    likeness = products / np.sqrt(np.maximum(powers, 1e-20))
    # Only the best of its neighbours is in phase: 3 % less may be 15 degrees off.
    edged = np.concatenate(([-1.0], likeness, [-1.0]))
    is_peak = (likeness >= edged[:-2]) & (likeness >= edged[2:])
    best = int(np.argmax(np.where(is_peak, likeness + LONG_BONUS * np.abs(lags) / MOST_LAG, -1.0)))
    return Splice(at, int(lags[best]), float(likeness[best]))


def join(samples: NDArray[np.float32], splice: Splice) -> NDArray[np.float32]:
    """The block that consumes 960 + lag samples; *samples* as for `find_splice`. (960, channels).

    It begins with the block's own first sample and ends with the one before that which follows.
    """
    begin, end = BEHIND + splice.at, BEHIND + splice.at + OVERLAP
    before = samples[begin:end]
    after = samples[begin + splice.lag : end + splice.lag]
    # What is not alike adds up by power, not by amplitude; without this there would be a dip.
    alike = min(1.0, max(0.0, splice.likeness))
    power = np.square(_FADE) + np.square(1 - _FADE) + 2 * alike * _FADE * (1 - _FADE)
    fade_in = (_FADE / np.sqrt(power)).astype(np.float32)[:, None]
    fade_out = ((1 - _FADE) / np.sqrt(power)).astype(np.float32)[:, None]
    rest = samples[end + splice.lag : BEHIND + BLOCK_SAMPLES + splice.lag]
    return np.concatenate((samples[BEHIND:begin], before * fade_out + after * fade_in, rest))
