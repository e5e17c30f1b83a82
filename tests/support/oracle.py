"""Where tiles must lie, worked out from the product's rules and apart from the code under test."""

import math

from worker.core.layout.geometry import Rect


def gallery(count: int, width: int, height: int) -> list[Rect]:
    """Row by row: ceil(sqrt n) columns, tile edges at 2*round(i*size/(2*n))."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    return [
        _box(width, columns, n % columns, n % columns + 1, height, rows, n // columns, 1)
        for n in range(count)
    ]


def stage(side: str, width: int, height: int) -> Rect:
    """Three quarters of the width, full height, on the named side."""
    first, last = (0, 3) if side == "left" else (1, 4)
    return _box(width, 4, first, last, height, 1, 0, 1)


def strip(side: str, count: int, width: int, height: int) -> list[Rect]:
    """Beside the stage: up to four quarter tiles in a column, else two columns of eighths."""
    if count <= 4:
        column = 3 if side == "left" else 0
        return [_box(width, 4, column, column + 1, height, 4, n, 1) for n in range(count)]
    column = 6 if side == "left" else 0
    return [
        _box(width, 8, column + n % 2, column + n % 2 + 1, height, 8, n // 2, 1)
        for n in range(count)
    ]


def _box(
    width: int, columns: int, left: int, right: int, height: int, rows: int, top: int, tall: int
) -> Rect:
    x0, x1 = (2 * round(edge * width / (2 * columns)) for edge in (left, right))
    y0, y1 = (2 * round(edge * height / (2 * rows)) for edge in (top, top + tall))
    return Rect(x0, y0, x1 - x0, y1 - y0)
