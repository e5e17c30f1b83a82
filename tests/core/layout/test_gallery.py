from itertools import combinations

import pytest

from worker.core.layout.gallery import Grid, grid_for, grid_tiles
from worker.core.layout.geometry import Rect, Size
from worker.core.template import ALL_TEMPLATES

CANVASES = sorted(
    {template.size for template in ALL_TEMPLATES}, key=lambda size: (size.width, size.height)
)

# Edges at 1280x720, by hand. 1280/3 is 426.7 and 853.3: nearest even 426 and 854.
COLUMN_EDGES = {
    1: [0, 1280],
    2: [0, 640, 1280],
    3: [0, 426, 854, 1280],
    4: [0, 320, 640, 960, 1280],
    5: [0, 256, 512, 768, 1024, 1280],
}
ROW_EDGES = {
    1: [0, 720],
    2: [0, 360, 720],
    3: [0, 240, 480, 720],
    4: [0, 180, 360, 540, 720],
    5: [0, 144, 288, 432, 576, 720],
}
COLUMNS_AND_ROWS = {
    1: (1, 1),
    2: (2, 1),
    **dict.fromkeys((3, 4), (2, 2)),
    **dict.fromkeys((5, 6), (3, 2)),
    **dict.fromkeys((7, 8, 9), (3, 3)),
    **dict.fromkeys((10, 11, 12), (4, 3)),
    **dict.fromkeys((13, 14, 15, 16), (4, 4)),
    **dict.fromkeys((17, 18, 19, 20), (5, 4)),
    **dict.fromkeys((21, 22, 23, 24, 25), (5, 5)),
}


@pytest.mark.parametrize("users", range(1, 26))
def test_the_gallery_at_720p_lies_where_it_was_computed_by_hand(users: int) -> None:
    columns, rows = COLUMNS_AND_ROWS[users]
    grid = grid_for(users)
    assert (grid.columns, grid.rows) == (columns, rows)
    tiles = grid_tiles(Size(1280, 720), grid)
    assert len(tiles) == grid.capacity == columns * rows >= users
    for slot, tile in enumerate(tiles):
        row, column = slot // columns, slot % columns
        assert (tile.x, tile.right) == tuple(COLUMN_EDGES[columns][column : column + 2])
        assert (tile.y, tile.bottom) == tuple(ROW_EDGES[rows][row : row + 2])


def test_three_users_are_three_quarters_of_a_two_by_two_grid() -> None:
    assert grid_tiles(Size(1280, 720), grid_for(3)) == (
        Rect(0, 0, 640, 360),
        Rect(640, 0, 640, 360),
        Rect(0, 360, 640, 360),
        Rect(640, 360, 640, 360),
    )


def test_an_empty_room_has_no_tiles() -> None:
    assert grid_for(0) == Grid(0, 0)
    assert grid_tiles(Size(1280, 720), grid_for(0)) == ()


@pytest.mark.parametrize("canvas", CANVASES, ids=str)
@pytest.mark.parametrize("users", range(1, 26))
def test_tiles_cover_every_canvas_without_gap_or_overlap(canvas: Size, users: int) -> None:
    tiles = grid_tiles(canvas, grid_for(users))
    assert sum(tile.width * tile.height for tile in tiles) == canvas.width * canvas.height
    for tile in tiles:
        assert all(edge % 2 == 0 for edge in (tile.x, tile.y, tile.right, tile.bottom))
        assert 0 <= tile.x < tile.right <= canvas.width
        assert 0 <= tile.y < tile.bottom <= canvas.height
    assert not any(one.intersects(other) for one, other in combinations(tiles, 2))
    widths = {tile.width for tile in tiles}
    heights = {tile.height for tile in tiles}
    assert max(widths) - min(widths) <= 2
    assert max(heights) - min(heights) <= 2
