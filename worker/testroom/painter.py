"""Paints one person's camera or screen, frame by frame: colour, moving texture, name, marks."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.core.identity import Source
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.testroom import marks
from worker.testroom.lettering import ADVANCE, GLYPH_HEIGHT, lettering
from worker.testroom.person import Person

_GROUND_LUMA = 110
_INK_LUMA = 225
_TEXTURE_LUMA = 38
"""Amplitude of each of the two textures at full motion: luma stays within 34..186."""
_NAME_CENTRE = 0.87
_NAME_HEIGHT = 0.09
_NAME_WIDTH = 0.9
_TEXTURE_MARGIN_PX = 64
_TRAVEL_PX = 30
"""Radius of the circle a texture moves along; must stay below half the margin."""
_TURNS_HZ = (0.5, -0.7)
"""Turns a second of the two textures; the jump at the end of a loop falls on a keyframe."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What one camera or screen shows. `motion` 0 (still) to 1 (an encoder needs all its bits)."""

    person: Person
    source: Source
    size: Size
    fps: int
    loop_s: int
    motion: float

    @property
    def loop_frames(self) -> int:
        """Frames after which everything repeats."""
        return self.loop_s * self.fps


@dataclass(slots=True)
class Painter:
    """Paints any frame of *picture*; frame k and frame k + loop_frames are equal."""

    picture: Picture
    _ground: VideoPlanes = field(init=False)
    _name: NDArray[np.bool_] = field(init=False)
    _textures: tuple[NDArray[np.uint8], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._ground = _ground(self.picture)
        self._name = _fitted_name(self.picture)
        self._textures = _textures(self.picture)

    def paint(self, frame: int) -> VideoPlanes:
        """Frame *frame*, captured at frame/fps of the sender's clock; fresh arrays."""
        picture = self.picture
        position = frame % picture.loop_frames
        planes = VideoPlanes(self._ground.y.copy(), self._ground.u.copy(), self._ground.v.copy())
        self._add_motion(planes.y, position)
        self._add_name(planes.y)
        marks.draw(planes, position, flash=marks.is_flash_instant(frame, picture.fps))
        return planes

    def _add_motion(self, luma: NDArray[np.uint8], position: int) -> None:
        """Move the textures against each other, so that no motion vector predicts their sum."""
        height, width = luma.shape
        seconds = position / self.picture.fps
        for turns_hz, texture in zip(_TURNS_HZ, self._textures, strict=False):
            angle = 2 * math.pi * turns_hz * seconds
            x = _TEXTURE_MARGIN_PX // 2 + round(_TRAVEL_PX * math.cos(angle))
            y = _TEXTURE_MARGIN_PX // 2 + round(_TRAVEL_PX * math.sin(angle))
            luma += texture[y : y + height, x : x + width]

    def _add_name(self, luma: NDArray[np.uint8]) -> None:
        height, width = luma.shape
        name_height, name_width = self._name.shape
        short = min(width, height)
        centre_y = height / 2 + (_NAME_CENTRE - 0.5) * short
        top = min(height - name_height, max(0, round(centre_y - name_height / 2)))
        left = max(0, (width - name_width) // 2)
        box = luma[top : top + name_height, left : left + name_width]
        box[self._name] = _INK_LUMA


def _ground(picture: Picture) -> VideoPlanes:
    """The person's colour; on a screen only in two opposite quarters, the others are grey."""
    height, width = picture.size.height, picture.size.width
    luma = _GROUND_LUMA - (_texture_peak(picture.motion) if picture.motion else 0)
    u = np.full((height // 2, width // 2), picture.person.chroma[0], dtype=np.uint8)
    v = np.full((height // 2, width // 2), picture.person.chroma[1], dtype=np.uint8)
    if picture.source is Source.SCREEN:
        for plane in (u, v):
            plane[: height // 4, width // 4 :] = marks.NEUTRAL
            plane[height // 4 :, : width // 4] = marks.NEUTRAL
    return VideoPlanes(np.full((height, width), luma, dtype=np.uint8), u, v)


def _fitted_name(picture: Picture) -> NDArray[np.bool_]:
    """The name as large as its strip allows; cut off when even one-pixel dots are too wide."""
    short = min(picture.size.width, picture.size.height)
    dots_wide = max(1, ADVANCE * len(picture.person.name))
    dot_px = min(_NAME_HEIGHT * short / GLYPH_HEIGHT, _NAME_WIDTH * short / dots_wide)
    return lettering(picture.person.name, max(1, int(dot_px)))[:, : picture.size.width]


def _texture_peak(motion: float) -> int:
    return round(_TEXTURE_LUMA * motion)


def _textures(picture: Picture) -> tuple[NDArray[np.uint8], ...]:
    """Two noise fields of 2 x 2 and 6 x 6 px grain, 0..2*peak together; none when still."""
    peak = _texture_peak(picture.motion)
    if peak == 0:
        return ()
    generator = np.random.Generator(np.random.PCG64(picture.person.index))
    height = picture.size.height + _TEXTURE_MARGIN_PX
    width = picture.size.width + _TEXTURE_MARGIN_PX
    return tuple(
        generator.integers(
            0, peak + 1, size=(-(-height // grain), -(-width // grain)), dtype=np.uint8
        )
        .repeat(grain, axis=0)
        .repeat(grain, axis=1)[:height, :width]
        for grain in (2, 6)
    )
