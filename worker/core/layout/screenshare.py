"""`screen_share_left` / `_right`: a stage on the named side, a strip of small tiles beside it."""

from worker.core.layout.geometry import Rect, Size, grid_cell, grid_edge
from worker.core.spec import Side

MAX_STRIP_USERS = 16
"""The API shows 17 pictures: the stage and these."""

_SINGLE_COLUMN_USERS = 4


def stage_and_strip(canvas: Size, side: Side, users: int) -> tuple[Rect, tuple[Rect, ...]]:
    """The box of the stage, and the boxes of 0..16 *users* in the strip.

    The stage lies on *side*, 75 % of the width and full height; without users it is the whole
    canvas. Up to 4 users stand in one column of tiles of 25 % x 25 %, up to 16 in two columns
    of 12.5 % x 12.5 %, row by row from the top. Tiles have the canvas' shape.
    """
    if users == 0:
        return Rect(0, 0, canvas.width, canvas.height), ()
    edge = grid_edge(3 if side is Side.LEFT else 1, 4, canvas.width)
    if side is Side.LEFT:
        stage = Rect(0, 0, edge, canvas.height)
    else:
        stage = Rect(edge, 0, canvas.width - edge, canvas.height)
    columns, parts = (1, 4) if users <= _SINGLE_COLUMN_USERS else (2, 8)
    first = parts - columns if side is Side.LEFT else 0
    return stage, tuple(
        grid_cell(canvas, parts, parts, first + user % columns, user // columns)
        for user in range(users)
    )
