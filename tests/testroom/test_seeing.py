import numpy as np
import pytest

from tests.support import seeing
from tests.support.seeing import Watch
from worker.core.identity import Source
from worker.core.layout.geometry import Rect, Size
from worker.core.planes import VideoPlanes
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person, Sighting, recognise


def canvas_with(planes: VideoPlanes, x: int, y: int) -> VideoPlanes:
    canvas = VideoPlanes(
        np.full((480, 640), 16, np.uint8),
        np.full((240, 320), 128, np.uint8),
        np.full((240, 320), 128, np.uint8),
    )
    height, width = planes.y.shape
    canvas.y[y : y + height, x : x + width] = planes.y
    canvas.u[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2] = planes.u
    canvas.v[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2] = planes.v
    return canvas


def test_a_tile_is_read_where_it_lies_on_the_canvas():
    size = Size(320, 180)
    painter = Painter(Picture(Person(9, "Ada"), Source.CAMERA, size, 10, 2, 0.5))
    canvas = canvas_with(painter.paint(10), 200, 120)

    reading = seeing.read_tile(canvas, Watch(Rect(200, 120, 320, 180), source=size))

    assert reading.counter == 10
    assert reading.flash
    assert recognise(reading.corners) == Sighting(9, is_screen=False)


def test_mean_colour_is_that_of_the_rectangle_alone():
    plain = VideoPlanes(
        np.full((100, 200), 80, np.uint8),
        np.full((50, 100), 90, np.uint8),
        np.full((50, 100), 200, np.uint8),
    )
    canvas = canvas_with(plain, 100, 100)

    assert seeing.mean_colour(canvas, Rect(100, 100, 200, 100)) == (80, 90, 200)
    assert seeing.mean_colour(canvas, Rect(90, 90, 220, 120), inset=0.1) == (80, 90, 200)
    assert seeing.mean_colour(canvas, Rect(0, 0, 90, 90)) == (16, 128, 128)


def test_flashes_are_timed_by_their_first_frame():
    lit = [False] * 30 + [True] * 3 + [False] * 27 + [True] * 3

    assert seeing.flash_times(lit, 30) == pytest.approx([1.0, 2.0])


def test_a_flash_that_was_on_from_the_start_has_no_known_beginning():
    assert len(seeing.flash_times([True, True, False], 30)) == 0


def test_steps_between_counters_go_over_the_end_of_the_loop():
    assert seeing.counter_steps([298, 299, None, 0, 0, 2], 300).tolist() == [1, 1, 0, 2]


def test_the_longest_freeze_is_counted_in_frames_shown():
    assert seeing.longest_freeze_s([1, 2, 2, 2, None, None, 3], 30) == pytest.approx(0.1)
    assert seeing.longest_freeze_s([], 30) == 0


def test_offsets_pair_each_beep_with_its_flash():
    flashes, beeps = np.array([1.02, 2.03, 4.9]), np.array([1.0, 2.0, 3.0])

    assert seeing.av_offsets(flashes, beeps) == pytest.approx([0.02, 0.03])
    assert len(seeing.av_offsets(np.array([]), beeps)) == 0
