import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.layout.geometry import Rect, Size, contain, cover_crop, fraction_edge, grid_edge

SIDES = st.integers(1, 4096)
EVEN = st.integers(1, 960).map(lambda half: 2 * half)
OFFSETS = st.integers(0, 960).map(lambda half: 2 * half)


@pytest.mark.parametrize(
    ("source", "box", "shown"),
    [
        (Size(640, 360), Rect(0, 0, 1280, 720), Rect(0, 0, 1280, 720)),
        (Size(640, 480), Rect(0, 0, 1280, 720), Rect(160, 0, 960, 720)),
        (Size(640, 360), Rect(320, 0, 960, 720), Rect(320, 90, 960, 540)),
        # 720 * 9 / 16 is 405, half way between 404 and 406.
        (Size(360, 640), Rect(0, 0, 960, 720), Rect(276, 0, 406, 720)),
        (Size(4096, 1), Rect(10, 10, 100, 100), Rect(10, 58, 100, 2)),
        (Size(1, 4096), Rect(10, 10, 100, 100), Rect(58, 10, 2, 100)),
        (Size(641, 361), Rect(0, 0, 320, 180), Rect(0, 0, 320, 180)),
    ],
)
def test_contain_shows_everything_as_large_as_fits(source: Size, box: Rect, shown: Rect) -> None:
    assert contain(source, box) == shown


@pytest.mark.parametrize(
    ("source", "box", "region"),
    [
        (Size(1280, 720), Size(640, 360), Rect(0, 0, 1280, 720)),
        (Size(1280, 720), Size(720, 720), Rect(280, 0, 720, 720)),
        (Size(360, 640), Size(640, 360), Rect(0, 218, 360, 202)),
        (Size(641, 361), Size(640, 360), Rect(0, 0, 640, 360)),
        (Size(4096, 2), Size(2, 100), Rect(2046, 0, 2, 2)),
        (Size(2, 4096), Size(100, 2), Rect(0, 2046, 2, 2)),
        (Size(3, 1), Size(100, 100), Rect(0, 0, 2, 1)),
        (Size(1, 1), Size(100, 50), Rect(0, 0, 1, 1)),
    ],
)
def test_cover_crop_takes_the_middle_in_the_shape_of_the_box(
    source: Size, box: Size, region: Rect
) -> None:
    assert cover_crop(source, box) == region


@given(SIDES, SIDES, OFFSETS, OFFSETS, EVEN, EVEN)
@settings(deadline=None)
def test_contain_stays_in_its_box_and_keeps_the_shape(
    width: int, height: int, x: int, y: int, box_width: int, box_height: int
) -> None:
    box = Rect(x, y, box_width, box_height)
    shown = contain(Size(width, height), box)
    assert all(edge % 2 == 0 for edge in (shown.x, shown.y, shown.width, shown.height))
    assert box.x <= shown.x and shown.right <= box.right
    assert box.y <= shown.y and shown.bottom <= box.bottom
    ideal_width = box.height * width / height
    ideal_height = box.width * height / width
    assert (
        shown.width == box.width and (abs(shown.height - ideal_height) <= 1 or shown.height == 2)
    ) or (shown.height == box.height and (abs(shown.width - ideal_width) <= 1 or shown.width == 2))
    # In the middle, or as near to it as even pixels allow.
    assert 0 <= (box.right - shown.right) - (shown.x - box.x) <= 2
    assert 0 <= (box.bottom - shown.bottom) - (shown.y - box.y) <= 2


@given(st.integers(2, 4096), st.integers(2, 4096), EVEN, EVEN)
@settings(deadline=None)
def test_cover_crop_is_an_even_region_of_the_source(
    width: int, height: int, box_width: int, box_height: int
) -> None:
    region = cover_crop(Size(width, height), Size(box_width, box_height))
    assert all(edge % 2 == 0 for edge in (region.x, region.y, region.width, region.height))
    assert region.width >= 2 and region.height >= 2
    assert region.right <= width and region.bottom <= height
    ideal_width = region.height * box_width / box_height
    ideal_height = region.width * box_height / box_width
    full_height = region.height == height // 2 * 2
    full_width = region.width == width // 2 * 2
    assert (full_height and (abs(region.width - ideal_width) <= 1 or region.width == 2)) or (
        full_width and (abs(region.height - ideal_height) <= 1 or region.height == 2)
    )
    # A source of odd width loses its last column first, so the middle may be one more off.
    assert abs((width - region.right) - region.x) <= 3
    assert abs((height - region.bottom) - region.y) <= 3


@pytest.mark.parametrize(
    ("count", "length", "edges"),
    [
        (3, 1280, [0, 426, 854, 1280]),
        (5, 480, [0, 96, 192, 288, 384, 480]),
        # 1080 / 8 is 135: halves go to even, 67.5 to 68 and 202.5 to 202.
        (8, 1080, [0, 136, 270, 404, 540, 676, 810, 944, 1080]),
    ],
)
def test_grid_edges_are_even_and_spread_the_rounding(
    count: int, length: int, edges: list[int]
) -> None:
    assert [grid_edge(index, count, length) for index in range(count + 1)] == edges


@pytest.mark.parametrize(
    ("fraction", "edge"),
    [(0, 0), (-0.0, 0), (0.333, 426), (0.5, 640), (1, 1280), (1.001, 1280), (-0.1, 0)],
)
def test_a_fraction_of_the_canvas_ends_on_the_nearest_even_pixel(
    fraction: float, edge: int
) -> None:
    assert fraction_edge(fraction, 1280) == edge


def test_boxes_that_touch_do_not_intersect() -> None:
    box = Rect(10, 10, 20, 20)
    assert box.size == Size(20, 20)
    assert box.intersects(Rect(28, 28, 4, 4))
    assert not box.intersects(Rect(30, 10, 4, 20))
    assert not box.intersects(Rect(6, 10, 4, 20))
    assert not box.intersects(Rect(10, 30, 20, 4))
    assert not box.intersects(Rect(10, 6, 20, 4))
