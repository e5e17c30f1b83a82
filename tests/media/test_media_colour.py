import av
import numpy as np
import pytest

from worker.media.colour import planes_of_rgb, rgb_of_planes, yuv_of

# ITU-R BT.601, limited range, 75 % and 100 % colour bars as published.
BARS = {
    (255, 255, 255): (235, 128, 128),
    (0, 0, 0): (16, 128, 128),
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
    (191, 191, 0): (162, 44, 142),
    (191, 0, 191): (84, 184, 198),
}


@pytest.mark.parametrize(("rgb", "yuv"), BARS.items())
def test_colour_bars_have_their_published_values(
    rgb: tuple[int, int, int], yuv: tuple[int, int, int]
) -> None:
    assert yuv_of(rgb) == pytest.approx(yuv, abs=1)


def test_planes_and_back_is_the_same_picture_where_colours_do_not_change() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    blocks = rgb.repeat(2, axis=0).repeat(2, axis=1)
    back = rgb_of_planes(planes_of_rgb(blocks))
    assert np.abs(back.astype(int) - blocks).max() <= 3


def test_ffmpeg_reads_the_same_colours() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    blocks = rgb.repeat(2, axis=0).repeat(2, axis=1)
    planes = planes_of_rgb(blocks)
    array = np.concatenate([planes.y.ravel(), planes.u.ravel(), planes.v.ravel()]).reshape(24, 16)
    frame = av.VideoFrame.from_ndarray(array, "yuv420p")
    shown = frame.reformat(format="rgb24", interpolation="POINT").to_ndarray()
    assert np.abs(shown.astype(int) - blocks).mean() < 3
