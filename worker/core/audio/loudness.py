"""Loudness of all voices at once, block by block (ITU-R BS.1770-4, K-weighting)."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.cascade import Cascade
from worker.core.identity import ParticipantId
from worker.core.timing import BLOCK_SAMPLES

MOMENTARY_BLOCKS = 20
"""400 ms (BS.1770, EBU Tech 3341: momentary loudness)."""
FAST_BLOCKS = 3
"""60 ms: short enough to say in which block somebody began to speak."""
SILENCE_LUFS = -120.0
"""What digital silence measures here, instead of minus infinity."""
ABSENT_BLOCKS = 100
"""A voice that was not there for 2 s is forgotten: its filter has rung out long ago."""
DENORMAL = 1e-30
"""Filter states below this are set to zero; arithmetic on denormals is a hundred times slower."""


class VoiceLevel(NamedTuple):
    """One voice after one block, as loud as it would be in the stereo mix at gain 1."""

    energy: float
    """K-weighted mean square of the block, both output channels added."""
    fast_lufs: float
    """Over the last 60 ms."""
    momentary_lufs: float
    """Over the last 400 ms."""


def lufs(energy: float) -> float:
    """Loudness of a K-weighted mean square; -120 for silence."""
    return max(SILENCE_LUFS, -0.691 + 10 * float(np.log10(max(energy, 1e-13))))


def k_weighting() -> NDArray[np.float64]:
    """The two filter sections of BS.1770-4, annex 1, tables 1 and 2, at 48 kHz: (2, 6) float64."""
    return np.array(
        [
            [1.53512485958697, -2.69169618940638, 1.19839281085285]
            + [1.0, -1.69065929318241, 0.73248077421585],
            [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
        ]
    )


class LoudnessMeter:
    """K-weights every voice in one batched filter call per block; voices come and go.

    A mono voice is measured as it will be heard, in both channels: 3 LU above one channel.
    """

    def __init__(self) -> None:
        self._filter = Cascade(k_weighting())
        self._voices: dict[ParticipantId, int] = {}
        """Channels of each voice, in the order of the rows below."""
        self._absent: dict[ParticipantId, int] = {}
        self._input = np.zeros((0, BLOCK_SAMPLES))
        self._state = np.zeros((0, self._filter.order))
        self._row_voice = np.zeros(0, np.intp)
        self._row_weight = np.zeros(0)
        self._energies = np.zeros((0, MOMENTARY_BLOCKS))
        self.broken: frozenset[ParticipantId] = frozenset()
        """Voices whose last block held infinities or NaN; nobody should hear it."""

    def process(
        self, voices: Mapping[ParticipantId, NDArray[np.float32]]
    ) -> dict[ParticipantId, VoiceLevel]:
        """Take in one block of every voice, (960, 1 or 2) float32; who is missing is silent.

        Returns the level of every voice that was there within the last 2 s. A voice with
        infinities or NaN in it measures as silence and loses its filter state.
        """
        self._follow(voices)
        if not self._voices:
            return {}
        row = 0
        for voice, channels in self._voices.items():
            pcm = voices.get(voice)
            if pcm is None:
                self._input[row : row + channels] = 0
            else:
                self._input[row : row + channels] = pcm.T
            row += channels
        with np.errstate(invalid="ignore", over="ignore"):  # broken voices are found just below
            weighted, self._state = self._filter.process(self._input, self._state)
        energy = self._block_energies(weighted)
        self._energies[:, :-1] = self._energies[:, 1:]
        self._energies[:, -1] = energy
        momentary = _lufs_of(self._energies.mean(axis=1))
        fast = _lufs_of(self._energies[:, -FAST_BLOCKS:].mean(axis=1))
        return {
            voice: VoiceLevel(*level)
            for voice, *level in zip(
                self._voices, energy.tolist(), fast.tolist(), momentary.tolist(), strict=True
            )
        }

    def remove(self, voice: ParticipantId) -> None:
        """Forget a voice at once."""
        self._absent.pop(voice, None)
        self._relayout({v: c for v, c in self._voices.items() if v != voice})

    def _block_energies(self, weighted: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.einsum("rs,rs->r", weighted, weighted) / BLOCK_SAMPLES
        broken = ~np.isfinite(squares)
        self.broken = frozenset()
        if broken.any():
            squares[broken] = 0
            self._state[broken] = 0
            keys = list(self._voices)
            self.broken = frozenset(keys[index] for index in self._row_voice[broken])
        self._state[np.abs(self._state) < DENORMAL] = 0
        energies = np.zeros(len(self._voices))
        np.add.at(energies, self._row_voice, squares * self._row_weight)
        return energies

    def _follow(self, voices: Mapping[ParticipantId, NDArray[np.float32]]) -> None:
        """Make rows for newcomers and second channels, drop those of voices long absent."""
        wanted = {}
        for voice, channels in self._voices.items():
            pcm = voices.get(voice)
            if pcm is not None:
                self._absent.pop(voice, None)
                wanted[voice] = max(channels, pcm.shape[1])
                continue
            self._absent[voice] = self._absent.get(voice, 0) + 1
            if self._absent[voice] <= ABSENT_BLOCKS:
                wanted[voice] = channels
            else:
                del self._absent[voice]
        for voice, pcm in voices.items():
            wanted.setdefault(voice, pcm.shape[1])
        if wanted != self._voices:
            self._relayout(wanted)

    def _relayout(self, wanted: dict[ParticipantId, int]) -> None:
        rows = sum(wanted.values())
        state = np.zeros((rows, self._filter.order))
        energies = np.zeros((len(wanted), MOMENTARY_BLOCKS))
        old = {
            voice: (index, first)
            for index, (voice, first) in enumerate(_first_rows(self._voices.items()))
        }
        for index, (voice, first) in enumerate(_first_rows(wanted.items())):
            if voice in old:
                old_index, old_first = old[voice]
                energies[index] = self._energies[old_index]
                state[first : first + wanted[voice]] = self._state[
                    old_first : old_first + self._voices[voice]
                ]
        channels = list(wanted.values())
        self._row_voice = np.repeat(np.arange(len(wanted)), channels)
        self._row_weight = np.repeat([2.0 / count for count in channels], channels)
        self._voices, self._state, self._energies = wanted, state, energies
        self._input = np.zeros((rows, BLOCK_SAMPLES))


def _first_rows(voices: Iterable[tuple[ParticipantId, int]]) -> Iterable[tuple[ParticipantId, int]]:
    row = 0
    for voice, channels in voices:
        yield voice, row
        row += channels


def _lufs_of(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = -0.691 + 10 * np.log10(np.maximum(energies, 1e-13))
    return np.maximum(levels, SILENCE_LUFS)
