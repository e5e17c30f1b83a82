"""Marks in a picture that survive decoding, scaling, cropping and encoding again.

In the centre lies a dark box with a block code (16-bit frame counter and 8-bit check) and below it
a flash area, white for the first 100 ms of every whole second. Around it the picture has the
chroma of its person. Everything is sized by the shorter side, so that a tile of any shape between
9:16 and 16:9 shows the whole box whichever way it crops, and is still read at 60x45.
"""

from dataclasses import dataclass

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
_CORNER_SIZE = 0.12


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
    view = View.of(size, size)
    top, left = _code_origin(size)
    short = min(size.width, size.height)
    margin = _QUIET * short
    _fill(
        planes,
        view,
        (left - margin, top - margin, _CODE_WIDTH * short + 2 * margin, _HEIGHT * short + 2 * margin),
        BLACK,
        neutral=True,
    )
    for row, column, is_white in _cells(counter):
        if is_white:
            cell = _CELL * short
            _fill(planes, view, (left + column * cell, top + row * cell, cell, cell), WHITE)
    if flash:
        _fill(planes, view, _flash_box(size), WHITE)


def read(planes: VideoPlanes, view: View) -> Reading:
    """Read the marks of a tile; *planes* is the tile cut out of the canvas."""
    return Reading(
        counter=read_counter(planes.y, view),
        flash=read_flash(planes.y, view),
        corners=read_corners(planes, view),
    )


def read_counter(luma: NDArray[np.uint8], view: View) -> int | None:
    """The counter in a tile's *luma* (h, w), or None when it cannot be trusted."""
    top, left = _code_origin(view.source)
    cell = _CELL * min(view.source.width, view.source.height)
    bits = 0
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        level = _inner_mean(luma, view, (left + column * cell, top + row * cell, cell, cell))
        if level is None or abs(level - _THRESHOLD) < _DOUBT:
            return None
        bits = bits << 1 | (level > _THRESHOLD)
    counter, check = bits >> 8, bits & 0xFF
    return counter if check == check_of(counter) else None


def read_flash(luma: NDArray[np.uint8], view: View) -> bool:
    """Whether the flash area of a tile is white."""
    level = _inner_mean(luma, view, _flash_box(view.source))
    return level is not None and level > _THRESHOLD


def read_corners(planes: VideoPlanes, view: View) -> tuple[tuple[float, float], ...]:
    """Mean (u, v) of a patch near each visible corner of the picture in the tile."""
    left, right = max(0.0, view.offset_x), min(view.tile.width, view.tile.width - view.offset_x)
    top, bottom = max(0.0, view.offset_y), min(view.tile.height, view.tile.height - view.offset_y)
    width, height = right - left, bottom - top
    corners = []
    for y_share in (_CORNER_INSET, 1 - _CORNER_INSET - _CORNER_SIZE):
        for x_share in (_CORNER_INSET, 1 - _CORNER_INSET - _CORNER_SIZE):
            x, y = left + x_share * width, top + y_share * height
            patch = (
                _span(y / 2, (y + _CORNER_SIZE * height) / 2),
                _span(x / 2, (x + _CORNER_SIZE * width) / 2),
            )
            corners.append((float(planes.u[patch].mean()), float(planes.v[patch].mean())))
    return tuple(corners)


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


def _flash_box(size: Size) -> tuple[float, float, float, float]:
    short = min(size.width, size.height)
    top, left = _code_origin(size)
    return (
        left,
        top + (_CODE_HEIGHT + _GAP) * short,
        _CODE_WIDTH * short,
        _FLASH_HEIGHT * short,
    )


def _fill(
    planes: VideoPlanes,
    view: View,
    box: tuple[float, float, float, float],
    luma: int,
    *,
    neutral: bool = False,
) -> None:
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


def _inner_mean(
    luma: NDArray[np.uint8], view: View, box: tuple[float, float, float, float]
) -> float | None:
    """Mean of the middle half of *box* (source px) in the tile; None when it is cropped away."""
    x, y, width, height = box
    left = view.offset_x + (x + width / 4) * view.scale
    top = view.offset_y + (y + height / 4) * view.scale
    rows = _span(top, top + height / 2 * view.scale)
    columns = _span(left, left + width / 2 * view.scale)
    if rows.start < 0 or columns.start < 0:
        return None
    if rows.stop > luma.shape[0] or columns.stop > luma.shape[1]:
        return None
    return float(luma[rows, columns].mean())


def _span(start: float, stop: float) -> slice:
    """The whole pixels nearest to [start, stop), at least one."""
    first = round(start)
    return slice(first, max(first + 1, round(stop)))
