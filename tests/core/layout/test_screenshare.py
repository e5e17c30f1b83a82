from itertools import combinations

import pytest

from worker.core.layout.geometry import Rect, Size
from worker.core.layout.screenshare import stage_and_strip
from worker.core.spec import Side
from worker.core.template import ALL_TEMPLATES

CANVAS = Size(1280, 720)
CANVASES = sorted(
    {template.size for template in ALL_TEMPLATES}, key=lambda size: (size.width, size.height)
)

# At 1280x720: stage 960 wide; tiles of 320x180 in one column, of 160x90 in two.
SINGLE_COLUMN_Y = [0, 180, 360, 540]
DOUBLE_COLUMN = [
    (0, 0), (1, 0), (0, 90), (1, 90), (0, 180), (1, 180), (0, 270), (1, 270),
    (0, 360), (1, 360), (0, 450), (1, 450), (0, 540), (1, 540), (0, 630), (1, 630),
]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "stage_x", "strip_x", "column_x"),
    [(Side.LEFT, 0, 960, [960, 1120]), (Side.RIGHT, 320, 0, [0, 160])],
)
@pytest.mark.parametrize("users", range(1, 17))
def test_stage_and_strip_at_720p_lie_where_they_were_computed_by_hand(
    users: int, side: Side, stage_x: int, strip_x: int, column_x: list[int]
) -> None:
    stage, strip = stage_and_strip(CANVAS, side, users)
    assert stage == Rect(stage_x, 0, 960, 720)
    if users <= 4:
        assert list(strip) == [Rect(strip_x, y, 320, 180) for y in SINGLE_COLUMN_Y[:users]]
    else:
        assert list(strip) == [
            Rect(column_x[column], y, 160, 90) for column, y in DOUBLE_COLUMN[:users]
        ]


@pytest.mark.parametrize("side", Side)
def test_without_a_strip_the_stage_is_the_whole_canvas(side: Side) -> None:
    assert stage_and_strip(CANVAS, side, 0) == (Rect(0, 0, 1280, 720), ())


@pytest.mark.parametrize("canvas", CANVASES, ids=str)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("users", range(1, 17))
def test_nothing_overlaps_and_everything_is_even_on_every_canvas(
    users: int, side: Side, canvas: Size
) -> None:
    stage, strip = stage_and_strip(canvas, side, users)
    assert len(strip) == users
    for box in (stage, *strip):
        assert all(edge % 2 == 0 for edge in (box.x, box.y, box.right, box.bottom))
        assert 0 <= box.x < box.right <= canvas.width
        assert 0 <= box.y < box.bottom <= canvas.height
    assert not any(one.intersects(other) for one, other in combinations((stage, *strip), 2))
    # The strip begins and ends where the stage leaves room.
    left, right = (0, stage.x) if side is Side.RIGHT else (stage.right, canvas.width)
    assert (min(box.x for box in strip), max(box.right for box in strip)) == (left, right)


def test_full_columns_reach_the_bottom_where_the_height_has_no_even_eighth() -> None:
    # 1080/8 is 135: the rows are 136 and 134 px high in turn.
    _, strip = stage_and_strip(Size(1920, 1080), Side.LEFT, 16)
    assert [box.y for box in strip[::2]] == [0, 136, 270, 404, 540, 676, 810, 944]
    assert strip[-1] == Rect(1680, 944, 240, 136)
