"""Which videos of a scene anybody can see, and how large."""

from worker.core.identity import TrackId
from worker.core.layout.geometry import Rect, Size
from worker.core.layout.scene import Scene, Tile


def visible_videos(scene: Scene) -> dict[TrackId, Size]:
    """Every track with a tile of which something can be seen, and the size of its largest one.

    A tile counts as hidden only where one later, opaque tile covers all of it: that is certain,
    whatever the tiles show.
    """
    videos: dict[TrackId, Size] = {}
    for index, tile in enumerate(scene.tiles):
        if tile.track_id is None or _is_covered(tile.rect, scene.tiles[index + 1 :]):
            continue
        size = tile.rect.size
        videos[tile.track_id] = larger(size, videos.get(tile.track_id, size))
    return videos


def larger(one: Size, other: Size) -> Size:
    """The size with more pixels."""
    return max(one, other, key=_pixels)


def _pixels(size: Size) -> int:
    return size.width * size.height


def _is_covered(rect: Rect, above: tuple[Tile, ...]) -> bool:
    return any(tile.opaque and tile.rect.contains(rect) for tile in above)
