"""Text as pixels, and the plain tile with a name that stands in for a missing picture."""

import colorsys
import unicodedata
import zlib
from collections import OrderedDict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.media.colour import planes_of_rgb

FONT_NAMES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
MAX_LABEL_CHARACTERS = 64
"""Names come from the room; laying out a megabyte of text would take seconds."""

_CACHE_BYTES = 32 << 20
_MIN_NAME_TILE_PX = 90
"""Tiles lower than this show initials only: the name would be below 10 px."""


class LabelPainter:
    """Draws placeholder tiles; at most 32 MB of them are kept, the longest unused one goes."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[str, Size], VideoPlanes] = OrderedDict()
        self._bytes = 0

    def tile(self, label: str, size: Size) -> VideoPlanes:
        """A tile of *size* (even sides) in the label's colour with its initials and itself.

        The same object again while it is cached. Nobody may write it.
        """
        key = (label, size)
        planes = self._tiles.get(key)
        if planes is None:
            planes = planes_of_rgb(_drawn(label, size))
            self._tiles[key] = planes
            self._bytes += _weight(size)
            while self._bytes > _CACHE_BYTES and len(self._tiles) > 1:
                (_, dropped), _ = self._tiles.popitem(last=False)
                self._bytes -= _weight(dropped)
        else:
            self._tiles.move_to_end(key)
        return planes


def draw_text(text: str, size_px: int) -> NDArray[np.uint8]:
    """*text* in one line with letters *size_px* high (the em), as a mask (h, w), 255 is ink.

    The mask is cut to the ink, and 1 x 1 and empty where there is none.
    """
    line = printable(text)
    font = _font(size_px)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(line))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), line, fill=255, font=font)
    # The font's own box has air around the letters.
    return np.asarray(image.crop(image.getbbox() or (0, 0, 1, 1)))


def printable(text: str) -> str:
    """*text* as one line of at most 64 characters, without control and formatting characters."""
    kept = (
        " " if character.isspace() else character
        for character in text[: 4 * MAX_LABEL_CHARACTERS]
        if character.isspace() or not unicodedata.category(character).startswith("C")
    )
    return " ".join("".join(kept).split())[:MAX_LABEL_CHARACTERS]


def initials(label: str) -> str:
    """The first letters of the first and the last word: "Ada K. Lovelace" is "AL"."""
    words = [word for word in printable(label).replace("_", " ").split() if word[0].isalnum()]
    if not words:
        return printable(label)[:1].upper()
    ends = words[:1] if len(words) == 1 else [words[0], words[-1]]
    return "".join(word[0] for word in ends).upper()


def colour_of(label: str) -> tuple[int, int, int]:
    """A dark, muted RGB colour that always belongs to *label*."""
    hue = zlib.crc32(label.encode("utf-8", "surrogatepass")) % 360 / 360
    red, green, blue = colorsys.hls_to_rgb(hue, 0.24, 0.34)
    return round(red * 255), round(green * 255), round(blue * 255)


def _drawn(label: str, size: Size) -> NDArray[np.uint8]:
    ground = colour_of(label)
    canvas = np.empty((size.height, size.width, 3), np.float32)
    canvas[:] = ground
    has_name = size.height >= _MIN_NAME_TILE_PX
    middle = size.height * (0.42 if has_name else 0.5)
    _stamp_disc(canvas, size.width / 2, middle, 0.26 * min(size.width, size.height), ground)
    letters = max(8, round(min(size.width, size.height) * 0.2))
    _stamp_text(canvas, initials(label), letters, size.width / 2, middle, 0.95)
    if has_name:
        name = _fitting(printable(label), max(10, size.height // 12), size.width * 9 // 10)
        _stamp_text(
            canvas, name, max(10, size.height // 12), size.width / 2, size.height * 0.8, 0.8
        )
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _stamp_disc(
    canvas: NDArray[np.float32], x: float, y: float, radius: float, ground: tuple[int, int, int]
) -> None:
    rows, columns = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x)
    inside = np.clip(radius - distance + 0.5, 0, 1)[:, :, None]
    lighter = np.asarray(ground, np.float32) * 0.75 + 255 * 0.25
    canvas += (inside * (lighter - canvas)).astype(np.float32)


def _stamp_text(
    canvas: NDArray[np.float32], text: str, size_px: int, x: float, y: float, opacity: float
) -> None:
    """White *text*, its ink centred at (x, y), cut off at the edges of the canvas."""
    mask = draw_text(text, size_px)
    top = round(y - mask.shape[0] / 2)
    left = round(x - mask.shape[1] / 2)
    mask = mask[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    mask = mask[: canvas.shape[0] - top, : canvas.shape[1] - left]
    part = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    part += (255 - part) * (mask[:, :, None].astype(np.float32) / 255 * opacity)


def _fitting(text: str, size_px: int, width_px: int) -> str:
    """*text*, shortened with an ellipsis until it is at most *width_px* wide."""
    font = _font(size_px)
    if font.getlength(text) <= width_px:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + "…"
        if font.getlength(shorter) <= width_px:
            return shorter
    return ""


@lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in FONT_NAMES:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return ImageFont.load_default(size_px)


def _weight(size: Size) -> int:
    return size.width * size.height * 3 // 2
