import time

import numpy as np
import pytest
from PIL import ImageFont

from tests.media.material import colour_at, is_near
from worker.core.layout.geometry import Size
from worker.media import labels
from worker.media.colour import rgb_of_planes, yuv_of
from worker.media.labels import LabelPainter, colour_of, draw_text, initials, printable

TILE = Size(320, 180)


def test_a_tile_has_the_colour_of_its_name_at_the_edges_and_ink_in_the_middle() -> None:
    planes = LabelPainter().tile("Ada Lovelace", TILE)
    assert planes.size == TILE and planes.u.shape == (90, 160)
    for x, y in ((0, 0), (318, 0), (0, 178), (318, 178)):
        assert is_near(colour_at(planes, x, y), yuv_of(colour_of("Ada Lovelace")), 1)
    assert planes.y[50:100, 120:200].max() > 200


def test_the_colour_belongs_to_the_name_and_is_dark() -> None:
    names = [f"person {number}" for number in range(60)]
    assert [colour_of(name) for name in names] == [colour_of(name) for name in names]
    assert len({colour_of(name) for name in names}) > 40
    assert max(max(colour_of(name)) for name in names) < 90


def test_the_name_stands_below_the_initials_only_where_there_is_room() -> None:
    def has_ink(size: Size, top: float, bottom: float) -> bool:
        planes = LabelPainter().tile("Maximilian", size)
        rows = planes.y[int(size.height * top) : int(size.height * bottom)]
        return bool(rows.max() > planes.y[0, 0] + 60)

    assert has_ink(Size(320, 180), 0.75, 0.85)
    assert not has_ink(Size(120, 60), 0.75, 0.85)
    assert has_ink(Size(120, 60), 0.4, 0.6)


@pytest.mark.parametrize(
    "size", [Size(2, 2), Size(2, 400), Size(400, 2), Size(16, 16), Size(1920, 1080)]
)
@pytest.mark.parametrize("label", ["Ada", "x" * 500, "\0\n", "日本語 テスト", "🙂", "\ud800", " "])
def test_any_name_can_be_drawn_on_a_tile_of_any_size(label: str, size: Size) -> None:
    planes = LabelPainter().tile(label, size)
    assert planes.size == size


def test_a_megabyte_of_name_costs_no_time() -> None:
    started = time.process_time()
    LabelPainter().tile("W" * 1_000_000, TILE)
    assert time.process_time() - started < 0.5


def test_a_long_name_ends_in_an_ellipsis_inside_the_tile() -> None:
    planes = LabelPainter().tile("Wilhelmina " * 5, TILE)
    name_rows = planes.y[130:160]
    ink = np.flatnonzero((name_rows > planes.y[0, 0] + 60).any(axis=0))
    assert ink.min() >= 12 and ink.max() <= 308
    assert ink.max() - ink.min() > 200


@pytest.mark.parametrize(
    ("label", "letters"),
    [
        ("Ada Lovelace", "AL"),
        ("Ada K. Lovelace", "AL"),
        ("ada", "A"),
        ("user_42", "U4"),
        ("  bo  ", "B"),
        ("(guest) Eva", "E"),
        ("ß", "SS"),
        ("!!", "!"),
        ("", ""),
    ],
)
def test_initials_are_the_first_letters_of_the_first_and_last_word(
    label: str, letters: str
) -> None:
    assert initials(label) == letters


def test_control_characters_and_line_breaks_leave_no_trace() -> None:
    assert printable("a\nb\tc\x1b[31m\u202e\u200b d") == "a b c[31m d"
    assert len(printable("x" * 1000)) == 64


def test_text_is_a_mask_as_high_as_asked_and_cut_to_the_ink() -> None:
    mask = draw_text("HHH", 40)
    assert mask.dtype == np.uint8 and mask.max() == 255
    assert 24 <= mask.shape[0] <= 34  # capitals are about 0.73 em high
    assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()
    assert draw_text("HHH", 20).shape[0] == pytest.approx(mask.shape[0] / 2, abs=2)
    assert draw_text("", 20).shape == (1, 1) and not draw_text(" ", 20).any()


def test_a_machine_without_fonts_draws_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "FONT_NAMES", ("no-such-font.ttf",))
    labels._font.cache_clear()
    try:
        assert draw_text("HHH", 40).max() == 255
        assert isinstance(labels._font(40), ImageFont.FreeTypeFont)
    finally:
        labels._font.cache_clear()


def test_tiles_are_drawn_once_while_they_are_in_use_and_not_kept_for_long_after() -> None:
    painter = LabelPainter()
    shown = [painter.tile(f"user {number}", TILE) for number in range(30)]
    painter.end_scene()
    assert [painter.tile(f"user {number}", TILE) for number in range(30)] == shown
    painter.end_scene()
    assert painter.tile("user 29", TILE) is shown[29]
    painter.end_scene()
    assert painter.tile("user 28", TILE) is shown[28], "gone for one scene"
    assert painter.tile("user 0", TILE) is not shown[0]
    painter.end_scene()
    assert len(painter._tiles) <= 2 + labels._SPARE_TILES


def test_the_letters_are_white() -> None:
    rgb = rgb_of_planes(LabelPainter().tile("Ada", TILE))
    brightest = rgb.reshape(-1, 3)[rgb.sum(axis=2).argmax()]
    assert brightest.min() > 225


def test_hours_of_new_names_do_not_pile_up() -> None:
    painter = LabelPainter()
    for number in range(200):
        painter.tile(f"guest {number}", Size(64, 36))
        painter.end_scene()
    assert len(painter._tiles) == 1 + labels._SPARE_TILES
