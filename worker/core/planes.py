"""The picture type inside the worker: planar YUV 4:2:0 as three numpy arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.core.layout.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class VideoPlanes:
    """Y (h, w), U and V (h/2, w/2), uint8, BT.601/709 limited range; views are allowed.

    Whoever made the arrays may write them until they are handed on; after that nobody may.
    """

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]

    @property
    def size(self) -> Size:
        return Size(self.y.shape[1], self.y.shape[0])
