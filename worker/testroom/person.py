"""A synthetic person: the colour, the tone and the index that everything marked is derived from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worker.testroom.marks import NEUTRAL

OUTER_COLOURS = 18
INNER_COLOURS = 10
PEOPLE = OUTER_COLOURS + INNER_COLOURS
"""How many people can be told apart by colour."""
_OUTER_RADIUS = 74
_INNER_RADIUS = 41
"""Two rings of chroma: neighbours are at least 25 apart, tiny tiles read within 12."""
_NEUTRAL_RADIUS = 20
"""Closer than this to grey is nobody: canvas, placeholder, or the plain half of a screen."""

LOWEST_TONE_HZ = 400
TONE_STEP_HZ = 120


@dataclass(frozen=True, slots=True)
class Person:
    """`index` (0..27) sets colour and tone; `name` is drawn into the picture."""

    index: int
    name: str

    @property
    def chroma(self) -> tuple[int, int]:
        """Background (u, v)."""
        return chroma(self.index)

    @property
    def tone_hz(self) -> int:
        """Frequency of the beep and of the steady tone."""
        return tone_hz(self.index)


def chroma(index: int) -> tuple[int, int]:
    """(u, v) of person *index*: one of 28 points well apart, well away from grey."""
    index %= PEOPLE
    if index < OUTER_COLOURS:
        radius, turn = _OUTER_RADIUS, index * 7 % OUTER_COLOURS / OUTER_COLOURS
    else:
        ordinal = index - OUTER_COLOURS
        radius, turn = _INNER_RADIUS, ordinal * 3 % INNER_COLOURS / INNER_COLOURS
    angle = 2 * math.pi * turn
    return (
        round(NEUTRAL + radius * math.cos(angle)),
        round(NEUTRAL + radius * math.sin(angle)),
    )


def tone_hz(index: int) -> int:
    """400, 520, 640 … Hz: whole numbers, so that loops of whole seconds join without a step."""
    return LOWEST_TONE_HZ + TONE_STEP_HZ * (index % PEOPLE)


def nearest_person(u: float, v: float) -> int | None:
    """The index whose colour is nearest to (u, v); None for grey."""
    if math.hypot(u - NEUTRAL, v - NEUTRAL) < _NEUTRAL_RADIUS:
        return None
    return min(range(PEOPLE), key=lambda index: math.dist(chroma(index), (u, v)))


@dataclass(frozen=True, slots=True)
class Sighting:
    """Whose picture was recognised by its colour."""

    index: int
    is_screen: bool


def recognise(corners: Sequence[tuple[float, float]]) -> Sighting | None:
    """Whose picture shows *corners* (`marks.Reading.corners`); None when they do not agree.

    A camera has its person's colour in all four corners, a screen in the top left and the bottom
    right one and grey in the others.
    """
    top_left, top_right, bottom_left, bottom_right = (nearest_person(u, v) for u, v in corners)
    if top_left is None or top_left != bottom_right or top_right != bottom_left:
        return None
    if top_right is None:
        return Sighting(top_left, is_screen=True)
    return Sighting(top_left, is_screen=False) if top_right == top_left else None
