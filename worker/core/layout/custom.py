"""`custom`: panes as fractions of the canvas, stacked by zorder."""

from collections.abc import Iterable

from worker.core.layout.geometry import Rect, Size, fraction_edge
from worker.core.spec import Pane


def pane_rect(pane: Pane, canvas: Size) -> Rect:
    """The box of *pane* on *canvas*, every edge on the nearest even pixel.

    Edges, not sizes, are rounded, so panes that touch as fractions touch as pixels. A pane that
    would vanish is 2 px wide; what lies beyond the canvas is cut off.
    """
    x, width = _span(pane.x, pane.width, canvas.width)
    y, height = _span(pane.y, pane.height, canvas.height)
    return Rect(x, y, width, height)


def painting_order(panes: Iterable[Pane]) -> list[Pane]:
    """Bottom to top: by zorder, equal zorder in the order given."""
    return sorted(panes, key=lambda pane: pane.zorder)


def _span(start: float, extent: float, length_px: int) -> tuple[int, int]:
    begin = min(fraction_edge(start, length_px), length_px - 2)
    end = max(fraction_edge(start + extent, length_px), begin + 2)
    return begin, end - begin
