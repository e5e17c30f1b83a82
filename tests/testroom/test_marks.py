import numpy as np
import pytest

from worker.core.layout.geometry import Fit, Size
from worker.core.planes import VideoPlanes
from worker.testroom import marks
from worker.testroom.marks import View

GREY = 110


def blank(size: Size, u: int = 90, v: int = 170) -> VideoPlanes:
    half = (size.height // 2, size.width // 2)
    return VideoPlanes(
        np.full((size.height, size.width), GREY, np.uint8),
        np.full(half, u, np.uint8),
        np.full(half, v, np.uint8),
    )


def resampled(planes: VideoPlanes, view: View) -> VideoPlanes:
    """The tile that *view* describes, by area means: an oracle that knows nothing of marks."""

    def plane(source: np.ndarray, factor: int) -> np.ndarray:
        height, width = view.tile.height // factor, view.tile.width // factor
        oversampling = 4
        rows = (np.arange(height * oversampling) + 0.5) / oversampling
        columns = (np.arange(width * oversampling) + 0.5) / oversampling
        y = np.floor((rows * factor - view.offset_y) / view.scale / factor).astype(int)
        x = np.floor((columns * factor - view.offset_x) / view.scale / factor).astype(int)
        outside_y = (y < 0) | (y >= source.shape[0])
        outside_x = (x < 0) | (x >= source.shape[1])
        fine = source[np.clip(y, 0, source.shape[0] - 1)][
            :, np.clip(x, 0, source.shape[1] - 1)
        ].astype(float)
        fine[outside_y, :] = 16
        fine[:, outside_x] = 16
        means = fine.reshape(height, oversampling, width, oversampling).mean(axis=(1, 3))
        return means.round().astype(np.uint8)

    return VideoPlanes(plane(planes.y, 1), plane(planes.u, 2), plane(planes.v, 2))


def test_every_counter_is_read_back():
    size = Size(160, 90)
    view = View.of(size, size)
    for counter in range(0, marks.COUNTER_RANGE, 257):
        planes = blank(size)
        marks.draw(planes, counter, flash=False)

        assert marks.read_counter(planes.y, view) == counter


def test_the_counter_starts_again_after_sixteen_bits():
    size = Size(160, 90)
    planes = blank(size)

    marks.draw(planes, 65_536 + 12, flash=False)

    assert marks.read_counter(planes.y, View.of(size, size)) == 12


@pytest.mark.parametrize("level", [16, 126, 235])
def test_a_plain_picture_has_no_counter(level: int):
    size = Size(160, 90)

    assert marks.read_counter(np.full((90, 160), level, np.uint8), View.of(size, size)) is None


def test_a_picture_half_way_between_two_frames_has_no_counter():
    size = Size(160, 90)
    first, second = blank(size), blank(size)
    marks.draw(first, 0b1010, flash=False)
    marks.draw(second, 0b0101, flash=False)
    mixed = ((first.y.astype(int) + second.y) // 2).astype(np.uint8)

    assert marks.read_counter(mixed, View.of(size, size)) is None


def test_a_picture_of_two_halves_of_two_frames_has_no_counter():
    size = Size(640, 360)
    first, second = blank(size), blank(size)
    marks.draw(first, 99, flash=False)
    marks.draw(second, 100, flash=False)
    first.y[180:] = second.y[180:]

    assert marks.read_counter(first.y, View.of(size, size)) is None


def test_a_wrong_cell_fails_the_check():
    size = Size(640, 360)
    planes = blank(size)
    marks.draw(planes, 1234, flash=False)
    top_left_cell = planes.y[92:123, 224:254]
    assert set(np.unique(top_left_cell)) == {marks.BLACK}
    top_left_cell[:] = marks.WHITE

    assert marks.read_counter(planes.y, View.of(size, size)) is None


@pytest.mark.parametrize(
    ("counter", "check"),
    # By hand: CRC-8 (0x07) of the two bytes, the first one xored with 0xa5 beforehand.
    [(0xA500, 0x00), (0xA501, 0x07), (0xA502, 0x0E), (0xA5FF, 0xF3)],
)
def test_the_check_is_a_crc_with_a_start_value(counter: int, check: int):
    assert marks.check_of(counter) == check


SOURCES = [Size(640, 360), Size(360, 640), Size(640, 480), Size(320, 180)]
TILES = [Size(60, 46), Size(96, 72), Size(128, 72), Size(240, 360), Size(640, 720)]
VIEWS = [
    view
    for source in SOURCES
    for tile in TILES
    for fit in Fit
    if (view := View.of(source, tile, fit)).scale * min(source.width, source.height) >= 44
]
"""A picture shown lower than 44 px is not promised to be readable."""


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_marks_survive_every_crop_and_scale_of_the_layouts(view: View):
    source = view.source
    planes = blank(source, 90, 170)
    marks.draw(planes, 54_321, flash=True)

    reading = marks.read(resampled(planes, view), view)

    assert reading.counter == 54_321
    assert reading.flash
    for u, v in reading.corners:
        assert (u, v) == (pytest.approx(90, abs=1), pytest.approx(170, abs=1))


def test_a_crop_that_cuts_into_the_code_is_unreadable_rather_than_wrong():
    source, tile = Size(640, 360), Size(90, 360)
    planes = blank(source)
    marks.draw(planes, 4321, flash=False)
    view = View.of(source, tile)

    assert marks.read_counter(resampled(planes, view).y, view) is None


def test_the_flash_area_is_dark_between_flashes():
    size = Size(640, 360)
    planes = blank(size)

    marks.draw(planes, 65_535, flash=False)

    assert not marks.read_flash(planes.y, View.of(size, size))


@pytest.mark.parametrize(
    ("fps", "lit"), [(30, [0, 1, 2]), (25, [0, 1, 2]), (15, [0, 1]), (10, [0]), (1, [0])]
)
def test_a_flash_lasts_a_hundred_milliseconds_from_every_whole_second(fps: int, lit: list[int]):
    flashing = [frame for frame in range(2 * fps) if marks.is_flash_instant(frame, fps)]

    assert flashing == lit + [frame + fps for frame in lit]


def test_the_box_is_colourless_and_the_rest_keeps_its_colour():
    size = Size(640, 360)
    planes = blank(size, 60, 200)

    marks.draw(planes, 7, flash=False)

    assert planes.u[90, 160] == marks.NEUTRAL
    assert planes.v[90, 160] == marks.NEUTRAL
    assert np.count_nonzero(planes.u == 60) > 0.6 * planes.u.size
    assert np.count_nonzero(planes.y == GREY) > 0.6 * planes.y.size
