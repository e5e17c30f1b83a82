"""How near scaled pictures come to the ideal, for which Pillow's Lanczos filter stands."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.planes import VideoPlanes
from worker.media.frames import picture_of
from worker.media.scale import TileScaler

Luma = NDArray[np.uint8]
SOURCE = Size(640, 360)


def small_print() -> Luma:
    """Dark letters of 14 px on white."""
    image = Image.new("L", (SOURCE.width, SOURCE.height), 235)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype("DejaVuSans.ttf", 14)
    for line in range(20):
        text = f"Figures of the quarter, page {line}: revenue 1,234,567 and what is left of it"
        draw.text((8, 4 + 18 * line), text, font=font, fill=16)
    return np.asarray(image)


def landscape() -> Luma:
    """Noise with most of its strength in what is large, as photographs have it."""
    noise = np.random.default_rng(5).standard_normal((SOURCE.height, SOURCE.width))
    mixed = gaussian_filter(noise, 1) + 8 * gaussian_filter(noise, 12)
    return np.clip(128 + 40 * mixed / mixed.std(), 16, 235).astype(np.uint8)


def scaled(luma: Luma, size: Size, fit: Fit = Fit.COVER) -> Luma:
    """As the compositor shows it."""
    grey = np.full((-(-luma.shape[0] // 2), -(-luma.shape[1] // 2)), 128, np.uint8)
    box = Rect(0, 0, size.width, size.height)
    return TileScaler(box, fit).patch(picture_of(VideoPlanes(luma, grey, grey))).planes.y


def ideal(luma: Luma, size: Size) -> Luma:
    return np.asarray(
        Image.fromarray(luma).resize((size.width, size.height), Image.Resampling.LANCZOS)
    )


def psnr_db(a: Luma, b: Luma) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize(
    ("draw", "fit", "least_db"),
    [
        (landscape, Fit.COVER, 34),
        (small_print, Fit.COVER, 26),
        (small_print, Fit.CONTAIN, 36),
    ],
)
@pytest.mark.parametrize("size", [Size(448, 252), Size(256, 144), Size(320, 180)])
def test_a_picture_that_shrinks_stays_near_the_ideal(
    draw: Callable[[], Luma], fit: Fit, least_db: float, size: Size
) -> None:
    luma = draw()
    found_db = psnr_db(scaled(luma, size, fit), ideal(luma, size))
    print(f"{draw.__name__}, {fit.value}, to {size.width}x{size.height}: {found_db:.1f} dB")
    assert found_db > least_db


def test_a_picture_that_grows_has_no_steps() -> None:
    ramp = np.tile(np.linspace(16, 235, 80).astype(np.uint8), (46, 1))
    found = scaled(ramp, Size(1280, 736)).astype(int)
    assert np.abs(np.diff(found, axis=1)).max() <= 1
