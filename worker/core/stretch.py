"""Resampling of one block by a few samples, so that a sender's clock drift is never heard.

A windowed-sinc kernel of 32 taps at a whole number of input samples per block: every block
begins exactly on an input sample, where the kernel is exact, so that a stretched block joins
a copied one without a seam.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.core.drift import MAX_CORRECTION
from worker.core.timing import BLOCK_SAMPLES

MARGIN = 16
"""Samples needed before and after those that are consumed: half the kernel."""
KAISER_BETA = 8.0
"""Stop band 80 dB down; flat to 20 kHz, where Opus ends."""


def stretch(samples: NDArray[np.float32], consumed: int) -> NDArray[np.float32]:
    """Turn *consumed* input samples into one block of 960.

    *samples* is (MARGIN + consumed + MARGIN, channels) float32, the consumed part in the middle;
    *consumed* is 952..968. Returns (960, channels) float32; output m lies at input position
    m * consumed / 960.
    """
    assert samples.shape[0] == consumed + 2 * MARGIN
    inputs, kernel = _kernel(consumed)
    block = np.empty((BLOCK_SAMPLES, samples.shape[1]), np.float32)
    for channel in range(samples.shape[1]):
        windows = samples[:, channel].take(inputs)
        np.einsum("nt,nt->n", windows, kernel, out=block[:, channel])
    return block


@cache
def _kernel(consumed: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Input samples and taps of each output sample, both (960, 32); 17 such pairs exist."""
    assert abs(consumed - BLOCK_SAMPLES) <= MAX_CORRECTION
    position = np.arange(BLOCK_SAMPLES) * consumed / BLOCK_SAMPLES
    whole = np.floor(position).astype(np.intp)
    offset = (position - whole)[:, None] + MARGIN - 1 - np.arange(2 * MARGIN)
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (offset / MARGIN) ** 2, 0, 1)))
    taps = np.sinc(offset) * window
    taps /= taps.sum(axis=1, keepdims=True)
    first = whole + 1
    return first[:, None] + np.arange(2 * MARGIN), taps.astype(np.float32)
