"""One colour space for everything: BT.601 matrix, limited range, BT.709 primaries and curve.

WebRTC cameras send BT.601 limited-range video, nearly always untagged: VP8 has no other, and
browsers convert RGB with that matrix. Output pixels are the input's pixels; the file carries the
tag, so that players do not guess BT.709 from the height of the picture. Full range is converted
by the decoders. A source tagged BT.709 is not: converting it costs five times the scaling, for a
slight shift of hue.
"""

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from numpy.typing import NDArray

from worker.core.planes import VideoPlanes

MATRIX_SMPTE170M = 6
"""AVCOL_SPC_SMPTE170M, the BT.601 matrix; PyAV has no name for it."""

BLACK_YUV = (16, 128, 128)
WHITE_YUV = (235, 128, 128)


def tag_context(context: VideoCodecContext) -> None:
    """Write the colour space into an encoder that is not open yet."""
    context.colorspace = MATRIX_SMPTE170M
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def yuv_of(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """One colour, 0..255 each, as limited-range BT.601."""
    planes = planes_of_rgb(np.full((2, 2, 3), rgb, np.uint8))
    return int(planes.y[0, 0]), int(planes.u[0, 0]), int(planes.v[0, 0])


def planes_of_rgb(rgb: NDArray[np.uint8]) -> VideoPlanes:
    """(h, w, 3) uint8 to planes; both sides even, chroma is the mean of four pixels."""
    red, green, blue = np.moveaxis(rgb.astype(np.float32), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return VideoPlanes(
        y=_levels(luma * (219 / 255) + 16),
        u=_levels(_quarter(blue - luma) * (224 / 255 / 1.772) + 128),
        v=_levels(_quarter(red - luma) * (224 / 255 / 1.402) + 128),
    )


def rgb_of_planes(planes: VideoPlanes) -> NDArray[np.uint8]:
    """The reverse, for stills: planes with even sides to (h, w, 3) uint8."""
    luma = (planes.y.astype(np.float32) - 16) * (255 / 219)
    blue_less_luma = _doubled(planes.u) * (255 / 224 * 1.772)
    red_less_luma = _doubled(planes.v) * (255 / 224 * 1.402)
    red, blue = luma + red_less_luma, luma + blue_less_luma
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return _levels(np.stack((red, green, blue), axis=2))


def _quarter(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = plane.shape
    quartets = plane.reshape(height // 2, 2, width // 2, 2)
    mean: NDArray[np.float32] = quartets.mean(axis=(1, 3), dtype=np.float32)
    return mean


def _doubled(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (plane.astype(np.float32) - 128).repeat(2, axis=0).repeat(2, axis=1)


def _levels(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)
