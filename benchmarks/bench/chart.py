"""A bar chart drawn with Pillow, so that benchmarks need no plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SCALE = 2
"""Pixels per unit below, for sharp text on dense screens."""
_BAR, _GAP, _GROUP_GAP, _PLOT_HEIGHT = 20, 3, 26, 280
_LEFT, _TOP, _RIGHT = 56, 108, 20
_PANEL_HEIGHT = _PLOT_HEIGHT + 72
_INK, _FAINT, _GRID, _PAPER = "#1f2328", "#656d76", "#e2e5e9", "#ffffff"
_STAGE_COLOURS = {
    "receive": "#0b4f8a",
    "decode": "#1f77b4",
    "compose": "#4a9bd4",
    "sound": "#7fbce6",
    "encode": "#a9d3f2",
    "write": "#d3e9fa",
}
_PEER_COLOURS = {"ffmpeg": "#5b9a4b", "gstreamer": "#d98a3d"}
_NAMES = {"ffmpeg": "ffmpeg", "gstreamer": "GStreamer"}
_BOUND_COLOUR = "#c4314b"


@dataclass(frozen=True, slots=True)
class Bar:
    """One program; `parts` from the bottom up. The worker's parts are its stages."""

    name: str
    parts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One case: bars beside each other, a line across them, a note above."""

    label: str
    detail: str
    bars: tuple[Bar, ...]
    mark: float
    note: str


def draw(*, title: str, subtitle: str, panels: Sequence[Sequence[Group]], path: Path) -> None:
    """Write the chart as PNG; the panels, one below the other, have one scale."""
    groups = [group for panel in panels for group in panel]
    group_width = max(len(group.bars) for group in groups) * (_BAR + _GAP) + _GROUP_GAP
    longest = max(len(panel) for panel in panels)
    width = max(980, _LEFT + longest * group_width + _RIGHT)
    height = _TOP + len(panels) * _PANEL_HEIGHT
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), _PAPER)
    pen = _Pen(ImageDraw.Draw(image))
    top = max(max(sum(bar.parts) for bar in group.bars) for group in groups) * 1.1
    pen.text(_LEFT, 16, title, 17)
    pen.text(_LEFT, 40, subtitle, 10, _FAINT)
    _legend(pen)
    for number, panel in enumerate(panels):
        axis = _Axis(top, _TOP + number * _PANEL_HEIGHT + _PLOT_HEIGHT)
        _grid(pen, axis, width)
        for index, group in enumerate(panel):
            _draw_group(pen, group, _LEFT + _GROUP_GAP // 2 + index * group_width, axis)
    image.save(path, optimize=True)


@dataclass(frozen=True, slots=True)
class _Axis:
    """A panel's values: 0 lies at `floor`, `top` a plot's height above."""

    top: float
    floor: float

    def y(self, value: float) -> float:
        return self.floor - _PLOT_HEIGHT * value / self.top


class _Pen:
    """Draws in unscaled units, y downwards."""

    def __init__(self, canvas: ImageDraw.ImageDraw) -> None:
        self._canvas = canvas

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        left, top = x * _SCALE, y * _SCALE
        right, bottom = (x + width) * _SCALE - 1, (y + height) * _SCALE - 1
        if right >= left and bottom >= top:
            self._canvas.rectangle((left, top, right, bottom), fill=colour)

    def text(
        self, x: float, y: float, text: str, size: int, colour: str = _INK, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._canvas.text((x * _SCALE, y * _SCALE), text, colour, font, anchor)


def _legend(pen: _Pen) -> None:
    entries = [
        *((f"worker: {stage}", colour) for stage, colour in _STAGE_COLOURS.items()),
        *((_NAMES[name], colour) for name, colour in _PEER_COLOURS.items()),
        ("decode + encode alone", _BOUND_COLOUR),
    ]
    x = _LEFT
    for name, colour in entries:
        pen.box(x, 70, 10, 10, colour)
        pen.text(x + 14, 69, name, 10)
        x += 24 + 6 * len(name)


def _grid(pen: _Pen, axis: _Axis, width: int) -> None:
    step = next(step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if axis.top / step <= 8)
    for line in range(int(axis.top / step) + 1):
        y = axis.y(line * step)
        pen.box(_LEFT, y, width - _LEFT - _RIGHT, 1, _GRID if line else _FAINT)
        pen.text(_LEFT - 8, y, f"{line * step:.1f}", 10, _FAINT, "rm")


def _draw_group(pen: _Pen, group: Group, x: float, axis: _Axis) -> None:
    span = len(group.bars) * (_BAR + _GAP) - _GAP
    for index, bar in enumerate(group.bars):
        _draw_bar(pen, bar, x + index * (_BAR + _GAP), axis)
    pen.box(x - 2, axis.y(group.mark) - 1, span + 4, 2, _BOUND_COLOUR)
    highest = max(group.mark, *(sum(bar.parts) for bar in group.bars))
    middle = x + span / 2
    pen.text(middle, axis.y(highest) - 6, group.note, 10, _INK, "mb")
    pen.text(middle, axis.floor + 8, group.label, 10, _INK, "ma")
    pen.text(middle, axis.floor + 24, group.detail, 8, _FAINT, "ma")


def _draw_bar(pen: _Pen, bar: Bar, x: float, axis: _Axis) -> None:
    peer = _PEER_COLOURS.get(bar.name)
    colours = [*_STAGE_COLOURS.values()] if peer is None else [peer]
    below = 0.0
    for part, colour in zip(bar.parts, colours, strict=True):
        upper, lower = axis.y(below + part), axis.y(below)
        pen.box(x, upper, _BAR, lower - upper, colour)
        below += part
