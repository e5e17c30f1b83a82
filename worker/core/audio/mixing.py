"""Adding voices up, with gains that move smoothly across a block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES

_PHASE = (np.arange(BLOCK_SAMPLES, dtype=np.float32) + 0.5) / BLOCK_SAMPLES
_OPENING = (0.5 - 0.5 * np.cos(np.pi * _PHASE)).astype(np.float32)
_CLOSING = _OPENING[::-1].copy()


class Gate(Enum):
    """What a voice's gate does during a block: 20 ms raised-cosine ramps, so no swap clicks."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """One voice in one block: (960, 1 or 2) float32, and linear gains at start and end."""

    pcm: NDArray[np.float32]
    gate: Gate
    gain_from: float = 1.0
    gain_to: float = 1.0


def mix(strips: Iterable[Strip]) -> NDArray[np.float32]:
    """The sum of *strips*, (960, 2) float32, unlimited; a mono voice goes to both channels."""
    # Mono voices are added up as one channel: rows of two samples are slow to broadcast into.
    centre = np.zeros(BLOCK_SAMPLES, np.float32)
    sides: NDArray[np.float32] | None = None
    for strip in strips:
        gains = _gains(strip)
        if strip.pcm.shape[1] == 1:
            centre += strip.pcm[:, 0] * gains
            continue
        if sides is None:
            sides = np.zeros((2, BLOCK_SAMPLES), np.float32)
        sides += strip.pcm.T * gains
    block = np.empty((BLOCK_SAMPLES, 2), np.float32)
    block.T[:] = centre if sides is None else sides + centre
    return block


def _gains(strip: Strip) -> NDArray[np.float32] | np.float32:
    """What to multiply a strip's samples by, (960,) float32 or one for all of them."""
    if strip.gain_from == strip.gain_to and strip.gate is Gate.OPEN:
        return np.float32(strip.gain_to)
    rise = np.float32(strip.gain_to - strip.gain_from)
    gains = np.asarray(strip.gain_from + rise * _PHASE, np.float32)
    if strip.gate is not Gate.OPEN:
        gains *= _OPENING if strip.gate is Gate.OPENING else _CLOSING
    return gains


def sum_tracks(tracks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One voice from a participant's tracks, at least one: microphone and screen sound.

    Blocks are (960, 1 or 2) float32; the sum is stereo if any of them is.
    """
    total = max(tracks, key=lambda pcm: pcm.shape[1])
    if len(tracks) == 1:
        return total
    return total + sum((pcm for pcm in tracks if pcm is not total), np.float32(0))
