import numpy as np
import pytest

from tests.media.material import moving_picture
from worker.core.layout.geometry import Rect, Size
from worker.media.frames import cut, picture_of, planes_of


@pytest.mark.parametrize("size", [Size(1, 1), Size(17, 33), Size(64, 48)])
def test_a_picture_is_a_copy_of_its_planes_whatever_their_size(size: Size) -> None:
    planes = moving_picture(size, 3)
    picture = picture_of(planes)
    assert picture.size == size
    for name in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(picture.planes, name), getattr(planes, name))
    before = int(picture.planes.y[0, 0])
    planes.y[:] = 0
    assert int(picture.planes.y[0, 0]) == before


@pytest.mark.parametrize(
    "region", [Rect(0, 0, 64, 48), Rect(10, 6, 32, 20), Rect(62, 46, 2, 2), Rect(4, 4, 1, 9)]
)
def test_a_cut_is_the_region_and_the_right_colours(region: Rect) -> None:
    planes = moving_picture(Size(64, 48), 1)
    planes.u[:] = np.arange(24 * 32).reshape(24, 32) % 200
    part = planes_of(cut(picture_of(planes), region))
    assert part.size == region.size
    np.testing.assert_array_equal(
        part.y, planes.y[region.y : region.bottom, region.x : region.right]
    )
    assert part.u[0, 0] == planes.u[region.y // 2, region.x // 2]
    assert part.u[-1, -1] == planes.u[(region.bottom - 1) // 2, (region.right - 1) // 2]


def test_an_even_cut_copies_nothing() -> None:
    picture = picture_of(moving_picture(Size(64, 48), 1))
    part = cut(picture, Rect(8, 4, 32, 16))
    start = picture.planes.y.ctypes.data
    assert planes_of(part).y.ctypes.data == start + 4 * picture.frame.planes[0].line_size + 8
    assert cut(picture, Rect(0, 0, 64, 48)) is picture.frame


def test_a_cut_outlives_its_picture() -> None:
    planes = moving_picture(Size(64, 48), 2)
    part = cut(picture_of(planes), Rect(8, 4, 32, 16))
    # Give the memory of the picture, if it were free, a chance to be used again.
    others = [picture_of(moving_picture(Size(64, 48), tick)) for tick in range(8)]
    np.testing.assert_array_equal(planes_of(part).y, planes.y[4:20, 8:40])
    assert len(others) == 8
