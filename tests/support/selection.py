"""Whether the right people are heard: tones, one per person, that change their levels in steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support import hearing

AUDIBLE_DB = -55.0
"""A tone above this is in the mix; what is shut out is below -80."""
SETTLING_S = 0.3
WINDOW_S = 0.1
COUNT = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """In how many windows of 100 ms exactly the right ones are heard."""

    right: int
    judged: int
    wrong_s: tuple[float, ...]
    """Where others were heard."""

    @property
    def share(self) -> float:
        return self.right / self.judged


def heard(pcm: NDArray[np.float64], tones_hz: Sequence[float]) -> list[set[int]]:
    """Who is heard in each window of 100 ms of *pcm* (mono, 48 kHz), by place in *tones_hz*."""
    levels = hearing.tone_levels(pcm, tones_hz)
    return [set(np.flatnonzero(row > AUDIBLE_DB).tolist()) for row in levels]


def judge(
    windows: Sequence[set[int]],
    expected_at: Callable[[float], set[int]],
    changes_s: Sequence[float],
    *,
    settling_s: float = SETTLING_S,
) -> Verdict:
    """Compare *windows* with what is expected from *settling_s* after each change on."""
    judged, wrong_s = 0, []
    for number, found in enumerate(windows):
        start_s = number * WINDOW_S
        if start_s - max(at_s for at_s in changes_s if at_s <= start_s) >= settling_s:
            judged += 1
            if found != expected_at(start_s):
                wrong_s.append(round(start_s, 1))
    return Verdict(judged - len(wrong_s), judged, tuple(wrong_s))


def stepped_tones(levels_db: Mapping[float, Sequence[float]]) -> str:
    """A scenario of people who speak steady tones, at the levels of each instant (s) from 0 on."""
    people = range(len(levels_db[0.0]))
    lines = [
        f'[[participants]]\nuser_id = "user-{n}"\nname = "user-{n}"\ncolour = {n}\ncamera = false\n'
        f'microphone = {{mode = "tone", level_db = {levels_db[0.0][n]}, beep = false}}\n'
        for n in people
    ]
    for at_s, levels in levels_db.items():
        lines += [
            f'[[events]]\nat_s = {at_s}\nuser_id = "user-{n}"\ndo = "voice"\n'
            f"microphone = {{level_db = {levels[n]}}}\n"
            for n in people
            if at_s > 0
        ]
    return "\n".join(lines)


def loudest_at(levels_db: Mapping[float, Sequence[float]], time_s: float) -> set[int]:
    """Who has the three highest of *levels_db* at *time_s*."""
    levels = levels_db[max(at_s for at_s in levels_db if at_s <= time_s)]
    return set(sorted(range(len(levels)), key=lambda n: levels[n], reverse=True)[:COUNT])


def begins_within_s(pcm: NDArray[np.float64], tone_hz: float, level_db: float) -> float:
    """When a tone that stays from then on reaches half of its strength, s.

    Raises `AssertionError` when its level, measured in the seventh second, is not *level_db*.
    """
    strength = hearing.envelope(pcm, tone_hz)
    steady = float(np.median(strength[6 * 2000 : 7 * 2000]))
    assert abs(20 * np.log10(steady / np.sqrt(2)) - level_db) <= 1.5
    return float(np.flatnonzero(strength > steady / 2)[0] / 2000)
