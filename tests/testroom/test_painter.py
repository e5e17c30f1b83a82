import numpy as np
import pytest

from worker.core.identity import Source
from worker.core.layout.geometry import Size
from worker.testroom import marks
from worker.testroom.marks import View
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person, Sighting, recognise

SIZE = Size(320, 180)


def picture(size: Size = SIZE, source: Source = Source.CAMERA, motion: float = 1.0) -> Picture:
    return Picture(Person(5, "Ada"), source, size, fps=10, loop_s=2, motion=motion)


@pytest.mark.parametrize("size", [Size(320, 180), Size(180, 320), Size(64, 64), Size(640, 480)])
@pytest.mark.parametrize("source", [Source.CAMERA, Source.SCREEN])
def test_a_painted_frame_says_who_what_and_when(size: Size, source: Source):
    planes = Painter(picture(size, source)).paint(11)
    reading = marks.read(planes, View.of(size, size))

    assert planes.size == size
    assert reading.counter == 11
    assert not reading.flash
    assert recognise(reading.corners) == Sighting(5, is_screen=source is Source.SCREEN)


def test_the_flash_comes_with_the_whole_second_of_the_actors_clock():
    painter = Painter(picture())
    view = View.of(Size(320, 180), Size(320, 180))

    flashes = [marks.read_flash(painter.paint(frame).y, view) for frame in range(29, 32)]

    assert flashes == [False, True, False]


def test_pictures_repeat_after_the_loop():
    painter = Painter(picture())

    assert np.array_equal(painter.paint(7).y, painter.paint(27).y)
    assert not np.array_equal(painter.paint(7).y, painter.paint(17).y)


def test_without_motion_only_the_code_changes():
    painter = Painter(picture(motion=0.0))
    changed = painter.paint(3).y != painter.paint(4).y

    rows, columns = np.nonzero(changed)
    assert rows.min() > 45
    assert rows.max() < 135
    assert columns.min() > 100
    assert columns.max() < 220


def test_with_motion_everything_changes_but_the_colour():
    painter = Painter(picture(motion=1.0))
    first, second = painter.paint(3), painter.paint(4)

    assert np.mean(first.y[:40] != second.y[:40]) > 0.8
    assert np.array_equal(first.u, second.u)


def test_the_name_is_written_below_the_code():
    named = Painter(picture(motion=0.0)).paint(0)
    nameless = Painter(Picture(Person(5, " "), Source.CAMERA, Size(320, 180), 10, 2, 0.0)).paint(0)

    rows, _ = np.nonzero(named.y != nameless.y)
    assert rows.min() > 140
    assert 10 <= rows.max() - rows.min() <= 20


def test_a_painted_frame_belongs_to_the_caller():
    painter = Painter(picture())
    painter.paint(3).y[:] = 0

    assert painter.paint(3).y.mean() > 50
