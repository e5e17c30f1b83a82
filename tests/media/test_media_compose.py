import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.media.material import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    colour_at,
    flat,
    flat_picture,
    is_near,
    striped,
    tile,
)
from worker.core.identity import TrackId
from worker.core.layout.geometry import Fit, Rect, Size, contain
from worker.core.layout.scene import Scene, Tile
from worker.core.planes import VideoPlanes
from worker.core.spec import ImageRef
from worker.errors import InternalError
from worker.media.canvas import PooledCanvas
from worker.media.colour import yuv_of
from worker.media.compose import TileCompositor
from worker.media.frames import FramePicture, picture_of
from worker.media.images import ImageLibrary
from worker.media.labels import colour_of

CANVAS = Size(128, 96)
WHOLE = Rect(0, 0, 128, 96)
A, B, C = TrackId("a"), TrackId("b"), TrackId("c")

BLUR_PX = 4
"""Scaling mixes neighbours this far from an edge between two colours."""


ROUNDING = 6
"""What FFmpeg's weights may be off in a picture that shrinks to a fiftieth; usually it is 1."""


def compositor(images: ImageLibrary | None = None, canvases: int = 8) -> TileCompositor:
    return TileCompositor(CANVAS, images or ImageLibrary(), canvases=canvases)


def scene(*tiles: Tile, background: str | None = None) -> Scene:
    return Scene(CANVAS, None if background is None else ImageRef(background), tiles)


def painted(*tiles: Tile, pictures: Mapping[TrackId, FramePicture] | None = None) -> VideoPlanes:
    return copied(compositor().compose(scene(*tiles), pictures or {}))


def copied(canvas: PooledCanvas) -> VideoPlanes:
    planes = canvas.planes
    copy = VideoPlanes(planes.y.copy(), planes.u.copy(), planes.v.copy())
    canvas.release()
    return copy


def is_flat(planes: VideoPlanes, box: Rect, colour: tuple[int, int, int]) -> bool:
    y = planes.y[box.y : box.bottom, box.x : box.right].astype(int)
    u = planes.u[box.y // 2 : box.bottom // 2, box.x // 2 : box.right // 2].astype(int)
    v = planes.v[box.y // 2 : box.bottom // 2, box.x // 2 : box.right // 2].astype(int)
    return all(
        np.abs(plane - value).max() <= 2
        for plane, value in zip((y, u, v), colour, strict=True)
        if plane.size
    )


def are_equal(one: VideoPlanes, other: VideoPlanes) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("y", "u", "v"))


# --- what a tile shows ----------------------------------------------------------------------


def test_nothing_to_show_is_black() -> None:
    assert is_flat(painted(), WHOLE, BLACK)


@pytest.mark.parametrize(
    "size",
    [Size(1, 1), Size(2, 2), Size(1, 40), Size(40, 1), Size(17, 33), Size(33, 17), Size(640, 360)],
)
@pytest.mark.parametrize("fit", list(Fit))
def test_a_picture_of_any_size_fills_its_box_and_not_a_pixel_more(size: Size, fit: Fit) -> None:
    box = Rect(32, 16, 64, 48)
    planes = painted(tile(box, "a", fit=fit), pictures={A: flat_picture(size, RED)})
    shown = box if fit is Fit.COVER else contain(size, box)
    mask = np.zeros((96, 128), bool)
    mask[shown.y : shown.bottom, shown.x : shown.right] = True
    assert is_flat(planes, shown, RED)
    assert (planes.y[~mask] == BLACK[0]).all()


def test_cover_cuts_a_wide_picture_at_both_sides_and_keeps_its_middle() -> None:
    # Of four stripes of 100 px, a square box shows the middle 200 px: half is 2nd, half is 3rd.
    source = picture_of(striped(Size(400, 200), [RED, GREEN, BLUE, WHITE], across=True))
    planes = painted(tile(Rect(0, 0, 96, 96), "a"), pictures={A: source})
    assert is_flat(planes, Rect(0, 0, 48 - BLUR_PX, 96), GREEN)
    assert is_flat(planes, Rect(48 + BLUR_PX, 0, 48 - BLUR_PX, 96), BLUE)


def test_cover_cuts_a_tall_picture_above_and_below() -> None:
    source = picture_of(striped(Size(90, 360), [RED, GREEN, BLUE, WHITE], across=False))
    planes = painted(tile(Rect(0, 0, 96, 96), "a"), pictures={A: source})
    # 90 of 360 rows are shown: 45 above and below the line between the 2nd and the 3rd stripe.
    assert is_flat(planes, Rect(0, 0, 96, 48 - BLUR_PX), GREEN)
    assert is_flat(planes, Rect(0, 48 + BLUR_PX, 96, 48 - BLUR_PX), BLUE)


def test_contain_shows_the_whole_picture_between_bars() -> None:
    source = picture_of(striped(Size(400, 200), [RED, GREEN, BLUE, WHITE], across=True))
    planes = painted(tile(Rect(0, 0, 96, 96), "a", fit=Fit.CONTAIN), pictures={A: source})
    assert is_flat(planes, Rect(0, 0, 96, 24), BLACK)
    assert is_flat(planes, Rect(0, 72, 96, 24), BLACK)
    for index, colour in enumerate((RED, GREEN, BLUE, WHITE)):
        assert is_flat(planes, Rect(24 * index + BLUR_PX, 24, 24 - 2 * BLUR_PX, 48), colour)


def test_a_picture_of_the_boxs_size_is_copied_exactly() -> None:
    noise = np.random.default_rng(5)
    source = VideoPlanes(
        noise.integers(0, 256, (48, 64)).astype(np.uint8),
        noise.integers(0, 256, (24, 32)).astype(np.uint8),
        noise.integers(0, 256, (24, 32)).astype(np.uint8),
    )
    planes = painted(tile(Rect(32, 16, 64, 48), "a"), pictures={A: picture_of(source)})
    np.testing.assert_array_equal(planes.y[16:64, 32:96], source.y)
    np.testing.assert_array_equal(planes.u[8:32, 16:48], source.u)
    np.testing.assert_array_equal(planes.v[8:32, 16:48], source.v)


def test_a_tile_without_its_picture_shows_the_name_on_the_names_colour() -> None:
    planes = painted(tile(WHOLE, "a", label="Ada"))
    assert is_near(colour_at(planes, 2, 2), yuv_of(colour_of("Ada")))
    assert planes.y.max() > 180  # ink


def test_an_empty_opaque_tile_hides_what_is_below_it() -> None:
    planes = painted(
        tile(WHOLE, "a"), tile(Rect(32, 32, 32, 32)), pictures={A: flat_picture(CANVAS, RED)}
    )
    assert is_flat(planes, Rect(32, 32, 32, 32), BLACK)
    assert is_flat(planes, Rect(0, 0, 128, 32), RED)


def test_an_empty_transparent_tile_shows_what_is_below_it() -> None:
    planes = painted(
        tile(WHOLE, "a"),
        tile(Rect(32, 32, 32, 32), opaque=False),
        pictures={A: flat_picture(CANVAS, RED)},
    )
    assert is_flat(planes, WHOLE, RED)


def test_bars_hide_the_tile_below_unless_the_tile_is_transparent() -> None:
    pictures = {A: flat_picture(CANVAS, RED), B: flat_picture(Size(10, 40), BLUE)}
    for opaque, bar in ((True, BLACK), (False, RED)):
        planes = painted(
            tile(WHOLE, "a"),
            tile(Rect(32, 16, 64, 64), "b", fit=Fit.CONTAIN, opaque=opaque),
            pictures=pictures,
        )
        assert is_flat(planes, Rect(32, 16, 22, 64), bar)
        assert is_flat(planes, Rect(56, 16, 16, 64), BLUE)


def test_the_last_tile_is_on_top() -> None:
    pictures = {
        A: flat_picture(CANVAS, RED),
        B: flat_picture(CANVAS, GREEN),
        C: flat_picture(CANVAS, BLUE),
    }
    planes = painted(
        tile(Rect(0, 0, 80, 80), "a"),
        tile(Rect(20, 20, 80, 70), "b"),
        tile(Rect(40, 40, 60, 30), "c"),
        pictures=pictures,
    )
    assert colour_at(planes, 10, 10) == RED
    assert colour_at(planes, 30, 30) == GREEN
    assert colour_at(planes, 50, 50) == BLUE
    assert colour_at(planes, 50, 80) == GREEN


def test_a_changed_lower_tile_stays_below_the_upper_one() -> None:
    painter = compositor()
    layout = scene(tile(WHOLE, "a"), tile(Rect(32, 32, 32, 32), "b"))
    upper = flat_picture(CANVAS, BLUE)
    for lower in (RED, GREEN, WHITE):
        planes = copied(painter.compose(layout, {A: flat_picture(CANVAS, lower), B: upper}))
        assert is_flat(planes, Rect(32, 32, 32, 32), BLUE)
        assert is_flat(planes, Rect(0, 0, 32, 96), lower)


# --- images ---------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> tuple[ImageLibrary, dict[str, str]]:
    refs = {}
    for name, colour in (("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (60, 30), colour).save(tmp_path / f"{name}.png")
        refs[name] = f"file://{tmp_path}/{name}.png"
    library = ImageLibrary()
    assert library.load([ImageRef(ref) for ref in refs.values()]) == []
    return library, refs


def test_images_cover_the_canvas_and_the_tiles_without_pictures(
    images: tuple[ImageLibrary, dict[str, str]],
) -> None:
    library, refs = images
    painter = compositor(library)
    layout = scene(
        tile(Rect(0, 0, 32, 96), "a", label="Ada", image=refs["blue"]),
        tile(Rect(32, 0, 32, 96), "b", label="Bo", image=refs["blue"]),
        background=refs["green"],
    )
    planes = copied(painter.compose(layout, {B: flat_picture(CANVAS, RED)}))
    assert is_flat(planes, Rect(0, 0, 32, 96), yuv_of((0, 0, 255)))
    assert is_flat(planes, Rect(32, 0, 32, 96), RED)
    assert is_flat(planes, Rect(64, 0, 64, 96), yuv_of((0, 255, 0)))


def test_bars_show_the_image_of_the_canvas(images: tuple[ImageLibrary, dict[str, str]]) -> None:
    library, refs = images
    layout = scene(tile(WHOLE, "a", fit=Fit.CONTAIN), background=refs["green"])
    planes = copied(compositor(library).compose(layout, {A: flat_picture(Size(96, 96), RED)}))
    assert is_flat(planes, Rect(0, 0, 16, 96), yuv_of((0, 255, 0)))
    assert is_flat(planes, Rect(16, 0, 96, 96), RED)


def test_an_image_that_is_not_there_leaves_the_name() -> None:
    planes = painted(tile(WHOLE, "a", label="Ada", image="file:///nowhere.png"))
    assert is_near(colour_at(planes, 2, 2), yuv_of(colour_of("Ada")))


def test_an_image_loaded_later_is_shown_from_then_on(tmp_path: Path) -> None:
    library = ImageLibrary()
    painter = compositor(library)
    ref = f"file://{tmp_path}/late.png"
    layout = scene(tile(WHOLE, "a", label="Ada", image=ref))
    before = copied(painter.compose(layout, {}))
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "late.png")
    library.load([ImageRef(ref)])
    after = copied(painter.compose(layout, {}))
    assert is_near(colour_at(before, 2, 2), yuv_of(colour_of("Ada")))
    assert is_flat(after, WHOLE, yuv_of((255, 0, 0)))


# --- changes --------------------------------------------------------------------------------


def test_a_layout_change_leaves_nothing_of_the_old_layout() -> None:
    painter = compositor()
    pictures = {A: flat_picture(CANVAS, RED), B: flat_picture(CANVAS, GREEN)}
    halves = scene(tile(Rect(0, 0, 64, 96), "a"), tile(Rect(64, 0, 64, 96), "b"))
    corner = scene(tile(Rect(0, 0, 32, 32), "b"))
    first = copied(painter.compose(halves, pictures))
    second = copied(painter.compose(corner, pictures))
    assert is_flat(first, Rect(0, 0, 64, 96), RED) and is_flat(first, Rect(64, 0, 64, 96), GREEN)
    assert is_flat(second, Rect(0, 0, 32, 32), GREEN)
    assert is_flat(second, Rect(32, 0, 96, 96), BLACK) and is_flat(
        second, Rect(0, 32, 128, 64), BLACK
    )


def test_only_a_new_picture_or_a_new_box_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.media.scale import TileScaler

    scaled: list[Rect] = []
    original = TileScaler._resized

    def counted(self: TileScaler, source: object, box: Rect) -> object:
        scaled.append(box)
        return original(self, source, box)  # type: ignore[arg-type]

    monkeypatch.setattr(TileScaler, "_resized", counted)
    painter = compositor()
    left, right = Rect(0, 0, 64, 96), Rect(64, 0, 64, 96)
    pictures = {A: flat_picture(CANVAS, RED), B: flat_picture(CANVAS, GREEN)}
    layout = scene(tile(left, "a"), tile(right, "b"))
    copied(painter.compose(layout, pictures))
    assert scaled == [left, right]
    copied(painter.compose(layout, pictures))
    assert scaled == [left, right]
    copied(painter.compose(layout, pictures | {B: flat_picture(CANVAS, BLUE)}))
    assert scaled == [left, right, right]
    copied(painter.compose(scene(tile(left, "a"), tile(left, "b")), pictures))
    assert scaled == [left, right, right, left]


def test_scalers_of_tiles_that_are_gone_are_forgotten() -> None:
    painter = compositor()
    for number in range(50):
        name = f"p{number}"
        copied(
            painter.compose(
                scene(tile(WHOLE, name)), {TrackId(name): flat_picture(Size(16, 16), RED)}
            )
        )
    assert len(painter._scalers) == 1


def test_an_unchanged_scene_costs_no_second_buffer() -> None:
    painter = compositor(canvases=1)
    layout = scene(tile(WHOLE, "a"))
    pictures = {A: flat_picture(CANVAS, RED)}
    canvases = [painter.compose(layout, pictures) for _ in range(20)] + [painter.repeat()]
    assert all(is_flat(canvas.planes, WHOLE, RED) for canvas in canvases)
    for canvas in canvases:
        canvas.release()


def test_a_canvas_that_is_out_is_not_painted_over() -> None:
    painter = compositor()
    layout = scene(tile(WHOLE, "a"))
    held = painter.compose(layout, {A: flat_picture(CANVAS, RED)})
    for colour in (GREEN, BLUE, WHITE):
        copied(painter.compose(layout, {A: flat_picture(CANVAS, colour)}))
    assert is_flat(held.planes, WHOLE, RED)
    held.release()


def test_repeat_gives_the_last_canvas_and_black_before_the_first() -> None:
    painter = compositor()
    assert is_flat(copied(painter.repeat()), WHOLE, BLACK)
    copied(painter.compose(scene(tile(WHOLE, "a")), {A: flat_picture(CANVAS, RED)}))
    assert is_flat(copied(painter.repeat()), WHOLE, RED)
    assert is_flat(copied(painter.repeat()), WHOLE, RED)


# --- the pool -------------------------------------------------------------------------------


def test_more_canvases_than_the_pool_holds_are_refused_until_one_comes_back() -> None:
    painter = compositor(canvases=3)
    layout = scene(tile(WHOLE, "a"))
    out = [painter.compose(layout, {A: flat_picture(CANVAS, RED)}) for _ in range(3)]
    with pytest.raises(InternalError, match="in use"):
        painter.compose(layout, {A: flat_picture(CANVAS, GREEN)})
    out.pop(0).release()
    canvas = painter.compose(layout, {A: flat_picture(CANVAS, GREEN)})
    assert is_flat(canvas.planes, WHOLE, GREEN)
    assert is_flat(out[0].planes, WHOLE, RED)


def test_a_canvas_is_released_once_and_useless_after() -> None:
    canvas = compositor().compose(scene(), {})
    canvas.release()
    for use in (canvas.release, canvas.frame, canvas.another, lambda: canvas.planes):
        with pytest.raises(InternalError):
            use()


def test_canvases_may_be_released_on_another_thread() -> None:
    painter = compositor(canvases=2)
    for number in range(200):
        canvas = painter.compose(scene(tile(WHOLE, "a")), {A: flat_picture(Size(2, 2), RED)})
        thread = threading.Thread(target=canvas.release, name=f"release {number}")
        thread.start()
        thread.join()


def test_scenes_for_another_size_and_canvases_with_odd_sides_are_our_own_bugs() -> None:
    with pytest.raises(InternalError):
        compositor().compose(Scene(Size(64, 64), None, ()), {})
    for size in (Size(127, 96), Size(128, 95), Size(0, 96)):
        with pytest.raises(InternalError):
            TileCompositor(size, ImageLibrary())


def test_pictures_of_other_makers_are_our_own_bug() -> None:
    class Drawing:
        size = CANVAS

    with pytest.raises(InternalError):
        compositor().compose(scene(tile(WHOLE, "a")), {A: Drawing()})


def test_the_frame_of_a_canvas_is_the_canvas_itself() -> None:
    canvas = compositor().compose(scene(tile(WHOLE, "a")), {A: flat_picture(CANVAS, BLUE)})
    frame = canvas.frame()
    assert (frame.width, frame.height, frame.format.name) == (128, 96, "yuv420p")
    assert frame.planes[0].buffer_ptr == canvas.planes.y.ctypes.data
    assert frame.planes[2].buffer_ptr == canvas.planes.v.ctypes.data
    canvas.release()


# --- random scenes --------------------------------------------------------------------------

EVEN = st.integers(0, 40).map(lambda half: 2 * half)
COLOURS = st.sampled_from([RED, GREEN, BLUE, WHITE])
SIZES = st.sampled_from([Size(1, 1), Size(17, 33), Size(64, 36), Size(30, 90), Size(128, 96)])


@st.composite
def random_tiles(draw: st.DrawFn) -> Tile:
    x, y = draw(EVEN), draw(EVEN)
    box = Rect(x, y, min(draw(EVEN) + 2, 128 - x), min(draw(EVEN) + 2, 96 - y))
    return tile(
        box,
        draw(st.sampled_from(["a", "b", "c", None])),
        fit=draw(st.sampled_from(list(Fit))),
        opaque=draw(st.booleans()),
    )


def oracle(layout: Scene, pictures: Mapping[TrackId, FramePicture]) -> VideoPlanes:
    """Paints flat-coloured pictures box by box, knowing nothing of scaling or caches."""
    planes = flat(CANVAS, BLACK)

    def fill(box: Rect, colour: tuple[int, int, int]) -> None:
        planes.y[box.y : box.bottom, box.x : box.right] = colour[0]
        planes.u[box.y // 2 : box.bottom // 2, box.x // 2 : box.right // 2] = colour[1]
        planes.v[box.y // 2 : box.bottom // 2, box.x // 2 : box.right // 2] = colour[2]

    for item in layout.tiles:
        if item.opaque:
            fill(item.rect, BLACK)
        picture = None if item.track_id is None else pictures.get(item.track_id)
        if picture is not None:
            box = item.rect
            if item.fit is Fit.CONTAIN:
                box = contain(picture.size, item.rect)
            fill(box, colour_at(picture.planes, 0, 0))
    return planes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(random_tiles(), max_size=6),
            st.dictionaries(st.sampled_from([A, B, C]), st.tuples(SIZES, COLOURS), max_size=3),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_painter_with_a_past_paints_what_a_fresh_one_and_an_oracle_paint(
    steps: list[tuple[list[Tile], dict[TrackId, tuple[Size, tuple[int, int, int]]], bool]],
) -> None:
    painter = compositor(canvases=2)
    layout = scene()
    pictures: dict[TrackId, FramePicture] = {}
    for tiles, news, is_layout_kept in steps:
        if not is_layout_kept:
            layout = scene(*tiles)
        pictures |= {track: flat_picture(size, colour) for track, (size, colour) in news.items()}
        planes = copied(painter.compose(layout, pictures))
        assert are_equal(planes, copied(compositor().compose(layout, pictures)))
        expected = oracle(layout, pictures)
        for name in ("y", "u", "v"):
            gap = getattr(planes, name).astype(int) - getattr(expected, name)
            assert np.abs(gap).max() <= ROUNDING
