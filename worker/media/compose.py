"""Paints scenes: every output frame is put together anew from tiles that are scaled only when new.

Scaling is the cost; putting scaled tiles together is one pass over the canvas, as copying a
persistent canvas would be. So nothing of an old layout can remain in a frame, and tiles that
overlap need no book of what was damaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from worker.core.identity import TrackId
from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.layout.scene import Scene, Tile
from worker.core.planes import VideoPlanes
from worker.core.spec import ImageRef
from worker.errors import InternalError
from worker.media.canvas import CanvasPool, PooledCanvas
from worker.media.colour import BLACK_YUV
from worker.media.frames import FramePicture
from worker.media.gather import avoid_slow_gathers
from worker.media.images import ImageLibrary
from worker.media.labels import LabelPainter
from worker.media.scale import Patch, TileScaler
from worker.ports import Picture

DEFAULT_CANVASES = 26
"""One held for `repeat`; of eight each a batch being painted, one that waits, one being encoded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fill:
    """A box that shows the canvas background again: its image, or plain colour."""

    box: Rect
    plain: bool


_Step = Patch | _Fill
_ScalerKey = tuple[TrackId | ImageRef, Rect, Fit]


class TileCompositor:
    """`ports.Compositor` for one canvas size. Not thread-safe; any thread may release canvases."""

    def __init__(
        self, canvas: Size, images: ImageLibrary, *, canvases: int = DEFAULT_CANVASES
    ) -> None:
        """At most *canvases* pictures may be out at a time, the last one composed included."""
        avoid_slow_gathers()
        self._pool = CanvasPool(canvas, canvases)
        self._images = images
        self._labels = LabelPainter()
        self._scalers: dict[_ScalerKey, TileScaler] = {}
        self._steps: list[_Step] = []
        self._boxes: list[Rect] = []
        self._is_covered = False
        self._last: PooledCanvas | None = None

    def compose(self, scene: Scene, pictures: Mapping[TrackId, Picture]) -> PooledCanvas:
        """Paint *scene* with the newest picture of each track; only what changed is scaled.

        When nothing changed the canvas is the last one again, without painting. A tile whose
        track is not in *pictures* shows its placeholder. Raises `InternalError` when too many
        canvases are out or *scene* is for another size.
        """
        if scene.canvas != self._pool.size:
            raise InternalError(f"the scene is for {scene.canvas}, not for {self._pool.size}")
        steps = self._plan(scene, pictures)
        if self._last is None or not _same(steps, self._steps):
            fresh = self._painted(steps)
            if self._last is not None:
                self._last.release()
            self._last, self._steps = fresh, steps
        return self._last.another()

    def repeat(self) -> PooledCanvas:
        """The canvas of the last `compose` again; plain background before the first."""
        if self._last is None:
            return self.compose(Scene(self._pool.size, None, ()), {})
        return self._last.another()

    def _plan(self, scene: Scene, pictures: Mapping[TrackId, Picture]) -> list[_Step]:
        """What to paint, bottom to top. Scalers no tile of *scene* asked for are dropped."""
        idle, self._scalers = self._scalers, {}
        whole = Rect(0, 0, scene.canvas.width, scene.canvas.height)
        steps: list[_Step] = [self._background(scene.background, whole, idle)]
        for tile in scene.tiles:
            steps += self._tile_steps(tile, pictures, idle)
        self._labels.end_scene()
        return steps

    def _tile_steps(
        self,
        tile: Tile,
        pictures: Mapping[TrackId, Picture],
        idle: dict[_ScalerKey, TileScaler],
    ) -> list[_Step]:
        picture = None if tile.track_id is None else pictures.get(tile.track_id)
        if tile.track_id is not None and picture is not None:
            patch = self._scaled(tile.track_id, _framed(picture), tile.rect, tile.fit, idle)
            if patch.box == tile.rect or not tile.opaque:
                return [patch]
            return [_Fill(tile.rect, plain=False), patch]
        image = self._image_patch(tile.image, tile.rect, idle)
        if image is not None:
            return [image]
        if tile.label:
            return [Patch(tile.rect, self._labels.tile(tile.label, tile.rect.size))]
        return [_Fill(tile.rect, plain=True)] if tile.opaque else []

    def _background(
        self, image: ImageRef | None, whole: Rect, idle: dict[_ScalerKey, TileScaler]
    ) -> _Step:
        return self._image_patch(image, whole, idle) or _Fill(whole, plain=True)

    def _image_patch(
        self, ref: ImageRef | None, box: Rect, idle: dict[_ScalerKey, TileScaler]
    ) -> Patch | None:
        picture = None if ref is None else self._images.get(ref)
        if ref is None or picture is None:
            return None
        return self._scaled(ref, picture, box, Fit.COVER, idle)

    def _scaled(
        self,
        what: TrackId | ImageRef,
        picture: FramePicture,
        box: Rect,
        fit: Fit,
        idle: dict[_ScalerKey, TileScaler],
    ) -> Patch:
        key = (what, box, fit)
        scaler = self._scalers.get(key) or idle.get(key) or TileScaler(box, fit)
        self._scalers[key] = scaler
        return scaler.patch(picture)

    def _painted(self, steps: list[_Step]) -> PooledCanvas:
        buffer = self._pool.take()
        background = steps[0]
        for step in steps[1:] if self._hide_background(steps) else steps:
            if isinstance(step, Patch):
                _paste(buffer.planes, step.box, step.planes)
            elif step.plain or not isinstance(background, Patch):
                _blacken(buffer.planes, step.box)
            else:
                _paste(buffer.planes, step.box, _part(background.planes, step.box))
        return self._pool.hand_out(buffer)

    def _hide_background(self, steps: list[_Step]) -> bool:
        """Whether what is painted later covers the canvas anyway; worked out when boxes change."""
        boxes = [step.box for step in steps[1:]]
        if boxes != self._boxes:
            self._boxes, self._is_covered = boxes, _cover(boxes, self._pool.size)
        return self._is_covered


def _cover(boxes: list[Rect], canvas: Size) -> bool:
    """Whether *boxes*, all inside *canvas*, leave no even pixel of it free."""
    free = np.ones((canvas.height // 2, canvas.width // 2), np.bool_)
    for box in boxes:
        free[box.y // 2 : box.bottom // 2, box.x // 2 : box.right // 2] = False
    return not free.any()


def _same(new: list[_Step], old: list[_Step]) -> bool:
    return len(new) == len(old) and all(
        a.box == b.box
        and (
            a.planes is b.planes
            if isinstance(a, Patch) and isinstance(b, Patch)
            else isinstance(a, _Fill) and isinstance(b, _Fill) and a.plain == b.plain
        )
        for a, b in zip(new, old, strict=True)
    )


def _framed(picture: Picture) -> FramePicture:
    if not isinstance(picture, FramePicture):
        raise InternalError("this picture is not from a decoder of this package")
    return picture


def _part(planes: VideoPlanes, box: Rect) -> VideoPlanes:
    """The pixels of *box*; writing to them writes *planes*."""
    left, top, right, bottom = box.x // 2, box.y // 2, box.right // 2, box.bottom // 2
    return VideoPlanes(
        y=planes.y[box.y : box.bottom, box.x : box.right],
        u=planes.u[top:bottom, left:right],
        v=planes.v[top:bottom, left:right],
    )


def _paste(canvas: VideoPlanes, box: Rect, planes: VideoPlanes) -> None:
    target = _part(canvas, box)
    np.copyto(target.y, planes.y)
    np.copyto(target.u, planes.u)
    np.copyto(target.v, planes.v)


def _blacken(canvas: VideoPlanes, box: Rect) -> None:
    target = _part(canvas, box)
    target.y[:], target.u[:], target.v[:] = BLACK_YUV
