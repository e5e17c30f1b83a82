import random

import pytest

from worker.core.linefit import Line, line_of, noise_of, steep_line_of

S = 1_000_000_000
MS = 1_000_000


def points_on(slope, count, noise_ms=0.0):
    noise = random.Random(1)
    return [(x, slope * x + noise.uniform(-noise_ms, noise_ms) * MS) for x in range(count)]


def test_a_line_goes_through_its_points():
    assert line_of([(0, 3.0), (2, 7.0)], 10) == Line(2.0, 3.0)
    assert Line(2.0, 3.0).at(5) == 13


def test_a_line_is_no_steeper_than_allowed_and_stays_in_their_middle():
    line = line_of([(0, 0.0), (10, 1000.0)], 10)

    assert line.slope == 10
    assert line.at(5) == 500


def test_points_on_top_of_each_other_make_a_level_line():
    assert line_of([(4, 1.0), (4, 3.0)], 10) == Line(0.0, 2.0)


def test_a_steep_line_is_that_of_the_latest_points_only():
    level, steep = points_on(0, 20), [(20 + x, 10 * MS * (x + 1)) for x in range(4)]

    line = steep_line_of([*level, *steep])

    assert line is not None
    assert line.at(23) == pytest.approx(40 * MS, abs=8 * MS)
    assert line.slope > 5 * MS


def test_there_is_no_steep_line_through_two_points_or_through_scattered_ones():
    assert steep_line_of(points_on(0, 2)) is None
    assert steep_line_of([(0, 0.0), (1, 90.0 * MS), (2, -80.0 * MS)]) is None


@pytest.mark.parametrize("slope", [0, 10 * MS])
def test_noise_is_the_same_however_steep_the_line(slope):
    assert noise_of(points_on(slope, 24)) == pytest.approx(0, abs=1)
    assert 5 * MS < noise_of(points_on(slope, 24, noise_ms=10)) < 25 * MS
    assert noise_of(points_on(slope, 2)) == 0
