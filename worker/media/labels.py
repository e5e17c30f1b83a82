"""Text as pixels, and the plain tile with a name that stands in for a missing picture."""

import colorsys
import unicodedata
import zlib
from collections import OrderedDict
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.media.colour import WHITE_YUV, yuv_of

FONT_NAMES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
MAX_LABEL_CHARACTERS = 64
"""Names come from the room; laying out a megabyte of text would take seconds."""

_SPARE_TILES = 4
"""Kept besides those of the scene, for cameras that come and go. Of people who left none may stay
for long: a room of forty that take turns would fill the memory for its first half hour."""
_MIN_NAME_TILE_PX = 90
"""Tiles lower than this show initials only: the name would be below 10 px."""


class LabelPainter:
    """Draws placeholder tiles, and keeps those in use."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[str, Size], VideoPlanes] = OrderedDict()
        """The one asked for last is the last."""
        self._asked: set[tuple[str, Size]] = set()

    def tile(self, label: str, size: Size) -> VideoPlanes:
        """A tile of *size* (even sides) in the label's colour with its initials and itself.

        The same object again while it is cached. Nobody may write it.
        """
        key = (label, size)
        planes = self._tiles.get(key)
        if planes is None:
            planes = self._tiles[key] = _drawn(label, size)
        else:
            self._tiles.move_to_end(key)
        self._asked.add(key)
        return planes

    def end_scene(self) -> None:
        """Keep what was asked for since the last call, and few besides."""
        while len(self._tiles) > len(self._asked) + _SPARE_TILES:
            self._tiles.popitem(last=False)
        self._asked.clear()


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


def _drawn(label: str, size: Size) -> VideoPlanes:
    ground = colour_of(label)
    planes = _flat(size, yuv_of(ground))
    red, green, blue = (round(level * 0.75 + 255 * 0.25) for level in ground)
    shorter_px = min(size.width, size.height)
    has_name = size.height >= _MIN_NAME_TILE_PX
    middle = (size.width / 2, size.height * (0.42 if has_name else 0.5))
    _blend(planes, _disc(0.26 * shorter_px), middle, yuv_of((red, green, blue)), 1.0)
    letters = draw_text(initials(label), max(8, round(shorter_px * 0.2)))
    _blend(planes, letters, middle, WHITE_YUV, 0.95)
    if has_name:
        name_px = max(10, size.height // 12)
        name = _fitting(printable(label), name_px, size.width * 9 // 10)
        below = (size.width / 2, size.height * 0.8)
        _blend(planes, draw_text(name, name_px), below, WHITE_YUV, 0.8)
    return planes


def _flat(size: Size, colour: tuple[int, int, int]) -> VideoPlanes:
    half = (size.height // 2, size.width // 2)
    return VideoPlanes(
        np.full((size.height, size.width), colour[0], np.uint8),
        np.full(half, colour[1], np.uint8),
        np.full(half, colour[2], np.uint8),
    )


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * ceil(radius)
    ruler = np.arange(side) + 0.5 - side / 2
    distance = np.hypot(ruler[:, None], ruler)
    mask: NDArray[np.uint8] = (np.clip(radius - distance + 0.5, 0, 1) * 255).astype(np.uint8)
    return mask


def _blend(
    planes: VideoPlanes,
    mask: NDArray[np.uint8],
    centre: tuple[float, float],
    colour: tuple[int, int, int],
    opacity: float,
) -> None:
    """Paint *colour* where *mask* is, its middle at *centre* (x, y), cut off at the edges."""
    top = round(centre[1] - mask.shape[0] / 2)
    left = round(centre[0] - mask.shape[1] / 2)
    mask = mask[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    mask = mask[: planes.size.height - top, : planes.size.width - left]
    # On even pixels, as chroma is; only this box is touched, not the whole tile.
    y, x = top // 2, left // 2
    height, width = -(-(top + mask.shape[0]) // 2) - y, -(-(left + mask.shape[1]) // 2) - x
    cover = np.zeros((2 * height, 2 * width), np.float32)
    cover[top - 2 * y :, left - 2 * x :][: mask.shape[0], : mask.shape[1]] = mask
    cover *= opacity / 255
    thin = cover.reshape(height, 2, width, 2).mean(axis=(1, 3))
    for part, share, value in (
        (planes.y[2 * y : 2 * (y + height), 2 * x : 2 * (x + width)], cover, colour[0]),
        (planes.u[y : y + height, x : x + width], thin, colour[1]),
        (planes.v[y : y + height, x : x + width], thin, colour[2]),
    ):
        part[:] = np.rint(part + share * (value - part.astype(np.float32)))


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
