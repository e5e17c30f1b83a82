import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.identity import Source, UserId
from worker.core.layout.custom import painting_order, pane_rect
from worker.core.layout.geometry import Rect, Size
from worker.core.spec import Pane

CANVAS = Size(1280, 720)


def pane(
    x: float, y: float, width: float, height: float, *, pane_id: int = 1, zorder: int = 0
) -> Pane:
    return Pane(pane_id, UserId("ann"), Source.CAMERA, x, y, width, height, zorder)


@pytest.mark.parametrize(
    ("fractions", "rect"),
    [
        ((0, 0, 1, 1), Rect(0, 0, 1280, 720)),
        # The API's own example: thirds with three digits. 0.666 * 1280 is 852.5, 0.333 * 720 is
        # 239.8, 0.999 * 1280 is 1278.7.
        ((0, 0, 0.666, 0.333), Rect(0, 0, 852, 240)),
        ((0.666, 0, 0.333, 0.666), Rect(852, 0, 426, 480)),
        ((0.5, 0.5, 0.501, 0.501), Rect(640, 360, 640, 360)),
        ((0.25, 0.25, 0.002, 0.003), Rect(320, 180, 2, 2)),
        ((1, 1, 0.001, 0.001), Rect(1278, 718, 2, 2)),
    ],
)
def test_a_pane_lies_on_the_nearest_even_pixels(
    fractions: tuple[float, float, float, float], rect: Rect
) -> None:
    assert pane_rect(pane(*fractions), CANVAS) == rect


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([1080, 720, 480, 360]))
@settings(deadline=None)
def test_panes_that_touch_as_fractions_touch_as_pixels(cuts: list[float], height: int) -> None:
    canvas = Size(height * 16 // 9 // 2 * 2, height)
    edges = [0.0, *sorted(set(cuts) - {0.0, 1.0}), 1.0]
    rects = [
        pane_rect(pane(left, 0, right - left, 1), canvas)
        for left, right in zip(edges, edges[1:], strict=False)
        if (right - left) * canvas.width >= 4
    ]
    for rect in rects:
        assert all(edge % 2 == 0 for edge in (rect.x, rect.y, rect.right, rect.bottom))
        assert 0 <= rect.x < rect.right <= canvas.width
        assert (rect.y, rect.height) == (0, height)
    for one, other in zip(rects, rects[1:], strict=False):
        assert one.right <= other.x


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_every_pane_is_even_inside_the_canvas_and_at_least_2_px(
    x: float, y: float, width: float, height: float
) -> None:
    rect = pane_rect(pane(x, y, width, height), CANVAS)
    assert all(edge % 2 == 0 for edge in (rect.x, rect.y, rect.right, rect.bottom))
    assert 0 <= rect.x <= rect.right - 2 <= CANVAS.width - 2
    assert 0 <= rect.y <= rect.bottom - 2 <= CANVAS.height - 2


def test_equal_zorder_is_painted_in_the_order_given() -> None:
    panes = [
        pane(0, 0, 1, 1, pane_id=1, zorder=2),
        pane(0, 0, 1, 1, pane_id=2, zorder=0),
        pane(0, 0, 1, 1, pane_id=3, zorder=2),
        pane(0, 0, 1, 1, pane_id=4, zorder=1),
    ]
    assert [each.pane_id for each in painting_order(panes)] == [2, 4, 1, 3]
