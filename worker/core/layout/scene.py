"""The scene: a layout resolved for one roster, tiles bottom to top. What a frame must show."""

from dataclasses import dataclass

from worker.core.identity import TrackId, UserId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.spec import ImageRef


@dataclass(frozen=True, slots=True)
class Tile:
    """One box of the scene.

    What is painted, first that exists: the picture of `track_id`; `image`, to cover; a plain
    tile with `label` (a user's name, drawn as text); for an empty label nothing but the canvas
    background colour if `opaque`, else the canvas background shows through.
    """

    rect: Rect
    fit: Fit
    user_id: UserId | None
    track_id: TrackId | None
    image: ImageRef | None
    label: str
    opaque: bool = True


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything one output frame shows. Tiles are painted in order, the last on top."""

    canvas: Size
    background: ImageRef | None
    tiles: tuple[Tile, ...]
