import itertools
import math

import pytest

from worker.testroom.marks import NEUTRAL
from worker.testroom.person import PEOPLE, Person, Sighting, chroma, nearest_person, recognise

GREY = (NEUTRAL, NEUTRAL)
FAR_ENOUGH = 24
"""Tiny tiles at low bitrates are read up to 12 away from the true chroma."""


def test_at_least_twenty_five_people_have_colours_far_apart():
    assert PEOPLE >= 25
    distances = [
        math.dist(chroma(one), chroma(other))
        for one, other in itertools.combinations(range(PEOPLE), 2)
    ]

    assert min(distances) >= FAR_ENOUGH
    assert min(math.dist(chroma(index), GREY) for index in range(PEOPLE)) >= 40


def test_everybody_has_a_tone_of_their_own_on_a_grid_of_120_hz():
    tones = [Person(index, "x").tone_hz for index in range(PEOPLE)]

    assert tones[:3] == [400, 520, 640]
    assert tones == sorted(set(tones))


@pytest.mark.parametrize("index", range(PEOPLE))
def test_a_colour_is_recognised_although_it_is_a_little_off(index: int):
    u, v = chroma(index)

    assert nearest_person(u + 8, v - 8) == index
    assert nearest_person(u - 8, v + 8) == index


def test_grey_is_nobody():
    assert nearest_person(*GREY) is None
    assert nearest_person(NEUTRAL + 12, NEUTRAL - 12) is None


def test_a_camera_shows_its_colour_in_all_corners():
    assert recognise([chroma(3)] * 4) == Sighting(3, is_screen=False)


def test_a_screen_shows_its_colour_in_two_opposite_corners():
    corners = [chroma(3), GREY, GREY, chroma(3)]

    assert recognise(corners) == Sighting(3, is_screen=True)


@pytest.mark.parametrize(
    "corners",
    [
        [GREY] * 4,
        [chroma(3), chroma(4), chroma(3), chroma(4)],
        [chroma(3), chroma(3), chroma(3), chroma(4)],
        [chroma(3), GREY, chroma(3), chroma(3)],
        [chroma(3), chroma(4), chroma(4), chroma(3)],
        [GREY, chroma(3), chroma(3), GREY],
    ],
)
def test_corners_that_do_not_agree_are_nobody(corners: list[tuple[int, int]]):
    assert recognise(corners) is None
