from worker.core.identity import TrackId, UserId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.scene import Scene, Tile
from worker.core.layout.visible import visible_videos

WHOLE = Rect(0, 0, 640, 360)
HALF = Rect(0, 0, 320, 360)
QUARTER = Rect(0, 0, 320, 180)


def tile(track: str | None, rect: Rect, *, opaque: bool = True) -> Tile:
    track_id = None if track is None else TrackId(track)
    return Tile(rect, Fit.COVER, UserId("u"), track_id, None, "", opaque)


def seen(*tiles: Tile) -> dict[TrackId, Size]:
    return visible_videos(Scene(Size(640, 360), None, tiles))


def test_every_video_beside_others_is_seen_in_the_size_of_its_tile() -> None:
    other = Rect(320, 0, 320, 360)
    assert seen(tile("a", QUARTER), tile(None, QUARTER), tile("b", other)) == {
        "b": Size(320, 360)
    }, "a tile without video covers too"
    assert seen(tile("a", HALF), tile("b", other)) == {"a": Size(320, 360), "b": Size(320, 360)}


def test_a_video_in_two_tiles_needs_the_larger() -> None:
    shown = {"a": Size(320, 360)}
    assert seen(tile("a", QUARTER), tile("a", Rect(320, 0, 320, 360))) == shown
    assert seen(tile("a", Rect(320, 0, 320, 360)), tile("a", QUARTER)) == shown


def test_what_one_opaque_tile_covers_whole_is_not_seen() -> None:
    assert seen(tile("a", HALF), tile("b", WHOLE)) == {"b": Size(640, 360)}
    assert seen(tile("a", HALF), tile("b", HALF)) == {"b": Size(320, 360)}


def test_what_is_covered_in_part_or_lies_above_or_under_glass_is_seen() -> None:
    assert set(seen(tile("a", HALF), tile("b", QUARTER))) == {"a", "b"}
    assert set(seen(tile("b", WHOLE), tile("a", HALF))) == {"a", "b"}
    assert set(seen(tile("a", HALF), tile("b", WHOLE, opaque=False))) == {"a", "b"}


def test_two_tiles_that_cover_together_are_not_added_up() -> None:
    left, right = Rect(0, 0, 320, 360), Rect(320, 0, 320, 360)
    assert "a" in seen(tile("a", WHOLE), tile("b", left), tile("c", right))
