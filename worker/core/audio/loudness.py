"""Loudness of all voices at once, block by block (ITU-R BS.1770-4, K-weighting)."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
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


Voices = Mapping[ParticipantId, NDArray[np.float32]]
"""One block of everybody: (960, 1 or 2) float32."""


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
    return max(SILENCE_LUFS, -0.691 + 10 * math.log10(max(energy, 1e-13)))


def k_weighting() -> NDArray[np.float64]:
    """The two filter sections of BS.1770-4, annex 1, tables 1 and 2, at 48 kHz: (2, 6) float64."""
    return np.array(
        [
            [1.53512485958697, -2.69169618940638, 1.19839281085285]
            + [1.0, -1.69065929318241, 0.73248077421585],
            [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
        ]
    )


class Measurement(NamedTuple):
    """All voices after one block."""

    levels: dict[ParticipantId, VoiceLevel]
    broken: frozenset[ParticipantId]
    """Voices whose block holds infinities or NaN; nobody should hear it."""


class LoudnessMeter:
    """K-weights every voice in one batched filter call; voices come and go.

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

    def process(self, blocks: Sequence[Voices]) -> list[Measurement]:
        """Take in consecutive blocks of all voices, (960, 1 or 2) float32; the missing are silent.

        Measures every voice that was there within the last 2 s. One with infinities or NaN in a
        block measures as silence there.
        """
        unborn = self._follow(blocks)
        if not self._voices:
            return [Measurement({}, frozenset()) for _ in blocks]
        self._fill(blocks)
        energies, broken = self._block_energies(len(blocks))
        history = np.concatenate((self._energies[:, 1:], energies), axis=1)
        self._energies = history[:, -MOMENTARY_BLOCKS:]
        fast, momentary = np.split(_lufs_of(history @ _means(len(blocks))), 2, axis=1)
        columns = zip(energies.T.tolist(), fast.T.tolist(), momentary.T.tolist(), strict=True)
        measured = []
        for index, (voices, column) in enumerate(zip(blocks, columns, strict=True)):
            unborn = unborn - voices.keys()
            levels = {
                voice: VoiceLevel(*level)
                for voice, *level in zip(self._voices, *column, strict=True)
                if voice not in unborn
            }
            measured.append(Measurement(levels, broken.get(index, frozenset())))
        return measured

    def _fill(self, blocks: Sequence[Voices]) -> None:
        """Lay the blocks of all voices side by side, a row for each channel."""
        length = len(blocks) * BLOCK_SAMPLES
        if self._input.shape != (len(self._row_voice), length):
            self._input = np.empty((len(self._row_voice), length))
        for index, voices in enumerate(blocks):
            row = 0
            columns = self._input[:, index * BLOCK_SAMPLES : (index + 1) * BLOCK_SAMPLES]
            for voice, channels in self._voices.items():
                pcm = voices.get(voice)
                columns[row : row + channels] = 0 if pcm is None else pcm.T
                row += channels

    def _block_energies(
        self, count: int
    ) -> tuple[NDArray[np.float64], dict[int, frozenset[ParticipantId]]]:
        """K-weighted energy of each voice in each block, and whose blocks are broken."""
        broken: dict[int, frozenset[ParticipantId]] = {}
        with np.errstate(invalid="ignore", over="ignore"):  # what is broken is found just below
            weighted, state = self._filter.process(self._input, self._state)
        squares = _block_means(weighted, count)
        if not np.isfinite(squares).all():
            broken = self._silence_broken(count)
            weighted, state = self._filter.process(self._input, self._state)
            squares = _block_means(weighted, count)
        state[np.abs(state) < DENORMAL] = 0
        self._state = state
        energies = np.zeros((len(self._voices), count))
        np.add.at(energies, self._row_voice, squares * self._row_weight[:, None])
        return energies, broken

    def _silence_broken(self, count: int) -> dict[int, frozenset[ParticipantId]]:
        """Put zeros where the input has infinities or NaN, one block of one voice at a time."""
        blocks = self._input.reshape(len(self._input), count, BLOCK_SAMPLES)
        is_broken: NDArray[np.bool_] = np.logical_not(np.isfinite(blocks).all(axis=2))
        blocks[is_broken] = 0
        keys = list(self._voices)
        return {
            index: frozenset(keys[voice] for voice in self._row_voice[is_broken[:, index]])
            for index in range(count)
        }

    def _follow(self, blocks: Sequence[Voices]) -> Set[ParticipantId]:
        """Make rows for newcomers and second channels, drop those of voices long absent.

        Returns the newcomers.
        """
        present: dict[ParticipantId, int] = {}
        for voices in blocks:
            for voice, pcm in voices.items():
                present[voice] = max(present.get(voice, 0), pcm.shape[1])
        wanted = {}
        for voice, channels in self._voices.items():
            if voice in present:
                self._absent.pop(voice, None)
                wanted[voice] = max(channels, present[voice])
                continue
            self._absent[voice] = self._absent.get(voice, 0) + len(blocks)
            if self._absent[voice] <= ABSENT_BLOCKS:
                wanted[voice] = channels
            else:
                del self._absent[voice]
        newcomers = present.keys() - wanted.keys()
        for voice, channels in present.items():
            wanted.setdefault(voice, channels)
        if wanted != self._voices:
            self._relayout(wanted)
        return newcomers

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


def _first_rows(voices: Iterable[tuple[ParticipantId, int]]) -> Iterable[tuple[ParticipantId, int]]:
    row = 0
    for voice, channels in voices:
        yield voice, row
        row += channels


@cache
def _means(count: int) -> NDArray[np.float64]:
    """From the energies before and of *count* blocks to the fast and the momentary means."""
    means = np.zeros((MOMENTARY_BLOCKS - 1 + count, 2 * count))
    for index in range(count):
        end = index + MOMENTARY_BLOCKS
        means[end - FAST_BLOCKS : end, index] = 1 / FAST_BLOCKS
        means[end - MOMENTARY_BLOCKS : end, count + index] = 1 / MOMENTARY_BLOCKS
    return means


def _block_means(weighted: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    blocks = weighted.reshape(len(weighted), count, BLOCK_SAMPLES)
    means: NDArray[np.float64] = np.einsum("rbs,rbs->rb", blocks, blocks) / BLOCK_SAMPLES
    return means


def _lufs_of(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = -0.691 + 10 * np.log10(np.maximum(energies, 1e-13))
    return np.maximum(levels, SILENCE_LUFS)
