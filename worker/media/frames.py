"""Pictures as FFmpeg holds them and as numpy sees them, without a copy where that is possible."""

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from worker.core.layout.geometry import Rect, Size
from worker.core.planes import VideoPlanes


@dataclass(frozen=True, slots=True, eq=False)
class FramePicture:
    """A `ports.Picture`: one yuv420p frame, limited range, upright. Nobody writes to it."""

    frame: av.VideoFrame

    @property
    def size(self) -> Size:
        return Size(self.frame.width, self.frame.height)

    @property
    def planes(self) -> VideoPlanes:
        """Views of the pixels; chroma planes of odd sizes are rounded up."""
        return planes_of(self.frame)


def planes_of(frame: av.VideoFrame) -> VideoPlanes:
    """Views of the pixels of a yuv420p *frame*, without the padding of its lines."""
    y, u, v = frame.planes
    return VideoPlanes(_plane_view(y), _plane_view(u), _plane_view(v))


def picture_of(planes: VideoPlanes) -> FramePicture:
    """A picture with a copy of *planes*; sizes may be odd."""
    frame = av.VideoFrame(planes.size.width, planes.size.height, "yuv420p")
    target = planes_of(frame)
    np.copyto(target.y, planes.y)
    np.copyto(target.u, planes.u)
    np.copyto(target.v, planes.v)
    return FramePicture(frame)


def cut(picture: FramePicture, region: Rect) -> av.VideoFrame:
    """The pixels of *region*, without a copy unless the region has an odd side.

    *region* lies inside the picture and begins on even pixels.
    """
    if region.size == picture.size:
        return picture.frame
    planes = picture.planes
    top, left = region.y // 2, region.x // 2
    bottom, right = -(-region.bottom // 2), -(-region.right // 2)
    part = VideoPlanes(
        y=planes.y[region.y : region.bottom, region.x : region.right],
        u=planes.u[top:bottom, left:right],
        v=planes.v[top:bottom, left:right],
    )
    if region.width % 2 or region.height % 2:
        return picture_of(part).frame
    return av.VideoFrame.from_dlpack((part.y, part.u, part.v), format="yuv420p")


def _plane_view(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    lines = lines.reshape(plane.height, -1)
    width = plane.width
    return lines if lines.shape[1] == width else lines[:, :width]
