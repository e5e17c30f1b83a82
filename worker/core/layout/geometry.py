"""Sizes and rectangles in even pixels, because chroma is sampled at half resolution."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction


class Fit(Enum):
    """How a picture is put into its box."""

    COVER = "cover"
    """Fills the box, cut off where it is too long (KEEP_RATIO_CROP)."""
    CONTAIN = "contain"
    """Shown complete, the rest of the box is background (KEEP_RATIO_PADDING)."""


@dataclass(frozen=True, slots=True)
class Size:
    """A picture size, px; both sides positive."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Rect:
    """A box on the canvas, px; every edge is even."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def contains(self, other: "Rect") -> bool:
        """Whether all of *other* lies in this box."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def intersects(self, other: "Rect") -> bool:
        """Whether the two boxes share at least one pixel."""
        return (
            self.x < other.right
            and other.x < self.right
            and self.y < other.bottom
            and other.y < self.bottom
        )


def contain(source: Size, box: Rect) -> Rect:
    """The largest box with the shape of *source* that fits in *box*, centred, on even pixels.

    Crop mode KEEP_RATIO_PADDING (API reference, layout panes): nothing is cut off, and what is
    left of *box* shows the background. The result touches two opposite sides of *box*, is
    nearest to the true shape and never thinner than 2 px. *source* may be odd, *box* is even.
    """
    if source.width * box.height >= source.height * box.width:
        width = box.width
        height = _nearest_even(box.width * source.height, source.width)
    else:
        width = _nearest_even(box.height * source.width, source.height)
        height = box.height
    width, height = max(2, width), max(2, height)
    return Rect(
        x=box.x + _centred(width, box.width),
        y=box.y + _centred(height, box.height),
        width=width,
        height=height,
    )


def cover_crop(source: Size, box: Size) -> Rect:
    """The region of *source* that is shown when it must fill *box*: its middle, in *box*'s shape.

    Crop mode KEEP_RATIO_CROP. The region is in px of *source*, inside it, on even pixels, and
    spans its whole width or height, less the last row or column when that is odd. Only a source
    of a single row or column, which has no even region, is taken as it is.
    """
    whole = Size(source.width & ~1 or 1, source.height & ~1 or 1)
    if whole.width * box.height >= whole.height * box.width:
        width = _nearest_even(whole.height * box.width, box.height)
        height = whole.height
    else:
        width = whole.width
        height = _nearest_even(whole.width * box.height, box.width)
    width = min(whole.width, max(2, width))
    height = min(whole.height, max(2, height))
    return Rect(
        x=_centred(width, whole.width),
        y=_centred(height, whole.height),
        width=width,
        height=height,
    )


def grid_edge(index: int, count: int, length_px: int) -> int:
    """Edge *index* (0..*count*) of *length_px* cut into *count* even parts without a gap.

    This is `2 * round(index * length / (2 * count))`, halves to even, so parts differ by 2 px
    at most.
    """
    return 2 * round(Fraction(index * length_px, 2 * count))


def grid_cell(canvas: Size, columns: int, rows: int, column: int, row: int) -> Rect:
    """One cell of *canvas* cut into *columns* x *rows*; column and row count from 0."""
    x = grid_edge(column, columns, canvas.width)
    y = grid_edge(row, rows, canvas.height)
    return Rect(
        x=x,
        y=y,
        width=grid_edge(column + 1, columns, canvas.width) - x,
        height=grid_edge(row + 1, rows, canvas.height) - y,
    )


def fraction_edge(fraction: float, length_px: int) -> int:
    """The even pixel nearest to *fraction* (0..1) of *length_px*; outside is clamped."""
    return min(length_px, max(0, 2 * round(fraction * length_px / 2)))


def _nearest_even(numerator: int, denominator: int) -> int:
    """The even number nearest to a positive fraction, halves up."""
    return 2 * ((numerator + denominator) // (2 * denominator))


def _centred(inner_px: int, outer_px: int) -> int:
    """The even offset that puts *inner_px* in the middle of *outer_px*."""
    return (outer_px - inner_px) // 4 * 2
