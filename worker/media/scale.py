"""One tile's picture at the size it is shown: cropped first, then scaled, and only when new."""

from dataclasses import dataclass

import av
from av.video.reformatter import Interpolation, VideoReformatter

from worker.core.layout.geometry import Fit, Rect, Size, contain, cover_crop
from worker.core.planes import VideoPlanes
from worker.media.frames import FramePicture, cut, planes_of

_INTERPOLATION = {Fit.COVER: Interpolation.AREA, Fit.CONTAIN: Interpolation.BICUBIC}
"""For faces areas are averaged: cheaper than the broad triangles of "bilinear", and nearer to the
ideal. What must be seen complete are slides and documents, and small print is worth twice that."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels and the box of the canvas they fill exactly."""

    box: Rect
    planes: VideoPlanes


class TileScaler:
    """Fits pictures into one box in one way; keeps the last result.

    One FFmpeg scaler lives as long as the tile: making one costs more than using it.
    """

    def __init__(self, box: Rect, fit: Fit) -> None:
        self._box = box
        self._fit = fit
        self._reformatter = VideoReformatter()
        self._picture: FramePicture | None = None
        self._patch: Patch | None = None
        self._source: Size | None = None
        self._region = box
        """What is seen of a source of that size; worked out when it changes."""

    def patch(self, picture: FramePicture) -> Patch:
        """*picture* in the box; the very same object until another picture comes."""
        if self._patch is None or picture is not self._picture:
            self._patch = self._scaled(picture)
            self._picture = picture
        return self._patch

    def _scaled(self, picture: FramePicture) -> Patch:
        if self._fit is Fit.COVER:
            box = self._box
            source = cut(picture, self._seen(picture.size))
        else:
            box = contain(picture.size, self._box)
            source = picture.frame
        return Patch(box, planes_of(self._resized(source, box)))

    def _seen(self, source: Size) -> Rect:
        if source != self._source:
            self._source, self._region = source, cover_crop(source, self._box.size)
        return self._region

    def _resized(self, source: av.VideoFrame, box: Rect) -> av.VideoFrame:
        # One thread: the work is a tenth of a millisecond.
        return self._reformatter.reformat(
            source, box.width, box.height, interpolation=_INTERPOLATION[self._fit], threads=1
        )
