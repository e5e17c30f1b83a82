import numpy as np

from worker.testroom.lettering import lettering


def picture(mask: np.ndarray) -> list[str]:
    return ["".join("#" if dot else "." for dot in row) for row in mask]


def test_letters_look_like_letters():
    assert picture(lettering("T1", 1)) == [
        "#####...#..",
        "..#....##..",
        "..#.....#..",
        "..#.....#..",
        "..#.....#..",
        "..#.....#..",
        "..#....###.",
    ]


def test_small_letters_and_accents_are_drawn_as_plain_capitals():
    assert np.array_equal(lettering("Zoë", 1), lettering("ZOE", 1))


def test_an_unknown_character_is_a_hollow_box():
    assert picture(lettering("中", 1)) == ["#####", *["#...#"] * 5, "#####"]


def test_dots_grow_to_the_asked_size():
    mask = lettering("AB", 3)

    assert mask.shape == (21, 33)
    assert np.array_equal(mask[::3, ::3], lettering("AB", 1))


def test_no_text_is_a_narrow_strip_without_ink():
    assert not lettering("", 2).any()
