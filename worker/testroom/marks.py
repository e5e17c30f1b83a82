"""Marks in a picture that survive decoding, scaling, cropping and encoding again.

In the centre lies a dark box with a block code (16-bit frame counter and 8-bit check) and below it
a flash area, white for the first 100 ms of every whole second. Around it the picture has the
chroma of its person. Everything is sized by the shorter side, so that a tile of any shape between
9:16 and 16:9 shows the whole box whichever way it crops, and is still read at 60x45.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worker.core.layout.geometry import Fit, Size
from worker.core.planes import VideoPlanes

COLUMNS = 6
ROWS = 4
COUNTER_BITS = 16
COUNTER_RANGE = 1 << COUNTER_BITS
FLASH_MS = 100

BLACK = 16
WHITE = 235
NEUTRAL = 128

_CELL = 0.09
"""Side of a cell as a share of the shorter picture side: 4 px in a tile 45 px high."""
_GAP = 0.03
_FLASH_HEIGHT = 0.10
_QUIET = 0.02
"""Dark margin, so that an encoder's ringing at the box's edge stays out of the outer cells."""
_CODE_WIDTH = COLUMNS * _CELL
_CODE_HEIGHT = ROWS * _CELL
_HEIGHT = _CODE_HEIGHT + _GAP + _FLASH_HEIGHT

_THRESHOLD = (BLACK + WHITE) / 2
_DOUBT = 30
"""A cell this close to the threshold is not read: half-mixed pictures must not yield numbers."""
_CHECK_POLYNOMIAL = 0x107
_CHECK_START = 0xA5
"""Makes an all-black or all-white code fail its check."""
_CORNER_INSET = 0.06
_CORNER_SIZE = 0.15
_CORNER_SHARES = (_CORNER_INSET, 1 - _CORNER_INSET - _CORNER_SIZE)
_CELL_GRID = 4
_CORNER_GRID = 6
"""Points per direction at which a cell or a corner is sampled."""

Box = tuple[float, float, float, float]
"""x, y, width, height in source px."""
Points = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns to index a plane with."""


@dataclass(frozen=True, slots=True)
class View:
    """How a picture of `source` size lies in a tile: tile px = offset + source px * scale."""

    source: Size
    tile: Size
    scale: float
    offset_x: float
    offset_y: float

    @classmethod
    def of(cls, source: Size, tile: Size, fit: Fit = Fit.COVER) -> "View":
        """The centred view that the compositor's *fit* makes."""
        ratios = (tile.width / source.width, tile.height / source.height)
        scale = max(ratios) if fit is Fit.COVER else min(ratios)
        return cls(
            source=source,
            tile=tile,
            scale=scale,
            offset_x=(tile.width - source.width * scale) / 2,
            offset_y=(tile.height - source.height * scale) / 2,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What the marks of one tile say."""

    counter: int | None
    """None when the code is unreadable: no marked picture there, damaged, or two pictures mixed."""
    flash: bool
    corners: tuple[tuple[float, float], ...]
    """Mean (u, v) near the top left, top right, bottom left and bottom right corner."""


def check_of(counter: int) -> int:
    """CRC-8 (polynomial 0x07) of the 16-bit *counter*."""
    remainder = (counter << 8) ^ (_CHECK_START << 16)
    for bit in range(23, 7, -1):
        if remainder & (1 << bit):
            remainder ^= _CHECK_POLYNOMIAL << (bit - 8)
    return remainder & 0xFF


def is_flash_instant(frame: int, fps: int) -> bool:
    """Whether frame *frame* (captured at frame/fps) lies within 100 ms after a whole second."""
    return (frame % fps) * 1000 < FLASH_MS * fps


def draw(planes: VideoPlanes, counter: int, *, flash: bool) -> None:
    """Draw the box with *counter* (mod 65536) and the flash area into *planes*, in place."""
    size = planes.size
    top, left = _code_origin(size)
    short = min(size.width, size.height)
    margin = _QUIET * short
    _fill(
        planes,
        (
            left - margin,
            top - margin,
            _CODE_WIDTH * short + 2 * margin,
            _HEIGHT * short + 2 * margin,
        ),
        BLACK,
        neutral=True,
    )
    for row, column, is_white in _cells(counter):
        if is_white:
            cell = _CELL * short
            _fill(planes, (left + column * cell, top + row * cell, cell, cell), WHITE)
    if flash:
        _fill(planes, _flash_box(size), WHITE)


def read(planes: VideoPlanes, view: View) -> Reading:
    """Read the marks of a tile; *planes* is the tile cut out of the canvas."""
    return Reading(
        counter=read_counter(planes.y, view),
        flash=read_flash(planes.y, view),
        corners=read_corners(planes, view),
    )


def read_counter(luma: NDArray[np.uint8], view: View) -> int | None:
    """The counter in a tile's *luma* (h, w), or None when it cannot be trusted."""
    cells = _code_points(view)
    if cells is None:
        return None
    levels = luma[cells].mean(axis=1)
    if np.any(np.abs(levels - _THRESHOLD) < _DOUBT):
        return None
    bits = int.from_bytes(np.packbits(levels > _THRESHOLD).tobytes(), "big")
    counter, check = bits >> 8, bits & 0xFF
    return counter if check == check_of(counter) else None


def read_flash(luma: NDArray[np.uint8], view: View) -> bool:
    """Whether the flash area of a tile is white."""
    points = _points(view, (_flash_box(view.source),))
    return points is not None and float(luma[points].mean()) > _THRESHOLD


def read_corners(planes: VideoPlanes, view: View) -> tuple[tuple[float, float], ...]:
    """Mean (u, v) of a patch near each visible corner of the picture in the tile."""
    points = _corner_points(view)
    u, v = planes.u[points].mean(axis=1), planes.v[points].mean(axis=1)
    return tuple((float(each_u), float(each_v)) for each_u, each_v in zip(u, v, strict=True))


@lru_cache(maxsize=1024)
def _code_points(view: View) -> Points | None:
    top, left = _code_origin(view.source)
    cell = _CELL * min(view.source.width, view.source.height)
    return _points(
        view,
        tuple(
            (left + column * cell, top + row * cell, cell, cell)
            for row in range(ROWS)
            for column in range(COLUMNS)
        ),
    )


@lru_cache(maxsize=1024)
def _points(view: View, boxes: tuple[Box, ...]) -> Points | None:
    """Tile (rows, columns), each (boxes, 16): a grid over the middle half of each source box.

    None when a point is cropped away.
    """
    grids = [
        _grid(
            view.offset_x + (x + width / 4) * view.scale,
            view.offset_y + (y + height / 4) * view.scale,
            width / 2 * view.scale,
            height / 2 * view.scale,
            _CELL_GRID,
        )
        for x, y, width, height in boxes
    ]
    rows = np.stack([grid[0] for grid in grids])
    columns = np.stack([grid[1] for grid in grids])
    if min(rows.min(), columns.min()) < 0:
        return None
    if rows.max() >= view.tile.height or columns.max() >= view.tile.width:
        return None
    return rows, columns


@lru_cache(maxsize=1024)
def _corner_points(view: View) -> Points:
    """Chroma (rows, columns), each (4, 36), of patches near the picture's visible corners."""
    left, top = max(0.0, view.offset_x), max(0.0, view.offset_y)
    width, height = view.tile.width - 2 * left, view.tile.height - 2 * top
    grids = [
        _grid(
            (left + x_share * width) / 2,
            (top + y_share * height) / 2,
            _CORNER_SIZE * width / 2,
            _CORNER_SIZE * height / 2,
            _CORNER_GRID,
        )
        for y_share in _CORNER_SHARES
        for x_share in _CORNER_SHARES
    ]
    return np.stack([grid[0] for grid in grids]), np.stack([grid[1] for grid in grids])


def _grid(x: float, y: float, width: float, height: float, points: int) -> Points:
    """Rows and columns, each (points^2,), of the pixels nearest to a grid of points in a box."""
    steps = (np.arange(points) + 0.5) / points
    rows = np.floor(y + steps * height).astype(np.intp)
    columns = np.floor(x + steps * width).astype(np.intp)
    return np.repeat(rows, points), np.tile(columns, points)


def _cells(counter: int) -> list[tuple[int, int, bool]]:
    counter %= COUNTER_RANGE
    bits = counter << 8 | check_of(counter)
    count = COLUMNS * ROWS
    return [
        (index // COLUMNS, index % COLUMNS, bool(bits >> (count - 1 - index) & 1))
        for index in range(count)
    ]


def _code_origin(size: Size) -> tuple[float, float]:
    short = min(size.width, size.height)
    return (size.height - _HEIGHT * short) / 2, (size.width - _CODE_WIDTH * short) / 2


def _flash_box(size: Size) -> Box:
    short = min(size.width, size.height)
    top, left = _code_origin(size)
    return (
        left,
        top + (_CODE_HEIGHT + _GAP) * short,
        _CODE_WIDTH * short,
        _FLASH_HEIGHT * short,
    )


def _fill(planes: VideoPlanes, box: Box, luma: int, *, neutral: bool = False) -> None:
    x, y, width, height = box
    rows, columns = slice(round(y), round(y + height)), slice(round(x), round(x + width))
    planes.y[rows, columns] = luma
    if neutral:
        half = (
            slice(round(y / 2), round((y + height) / 2)),
            slice(round(x / 2), round((x + width) / 2)),
        )
        planes.u[half] = NEUTRAL
        planes.v[half] = NEUTRAL
