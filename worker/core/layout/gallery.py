"""`nine_grids_view`: equal tiles for up to 25 users, covering the canvas row by row."""

from dataclasses import dataclass
from math import isqrt

from worker.core.layout.geometry import Rect, Size, grid_cell

MAX_USERS = 25
"""The API's limit of pictures in this layout."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How many tiles lie beside and below each other."""

    columns: int
    rows: int

    @property
    def capacity(self) -> int:
        return self.columns * self.rows


def grid_for(users: int) -> Grid:
    """The grid for 0..25 users: ceil(sqrt(n)) columns, and as many rows as that needs."""
    if users == 0:
        return Grid(0, 0)
    columns = isqrt(users - 1) + 1
    return Grid(columns, rows=-(-users // columns))


def grid_tiles(canvas: Size, grid: Grid) -> tuple[Rect, ...]:
    """The boxes of all slots, row by row; they cover *canvas* without gap or overlap."""
    return tuple(
        grid_cell(canvas, grid.columns, grid.rows, column, row)
        for row in range(grid.rows)
        for column in range(grid.columns)
    )
