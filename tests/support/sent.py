"""What a camera or screen sent, decoded frame by frame, to hold tiles of a recording against it."""

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.seeing import Watch
from worker.core.identity import Codec, Source
from worker.core.layout.geometry import Fit
from worker.testroom.loop_cache import Loop
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.scenario import Actor, VideoFeed

REGIONS = 4
"""A tile is judged in 4 x 4 regions, so that a damaged corner is not averaged away."""
_DECODERS = {Codec.VP8: "vp8", Codec.VP9: "vp9", Codec.H264: "h264"}

Luma = NDArray[np.uint8]


class SentTile:
    """The luma of every frame of one loop as it must look in one tile, by counter."""

    def __init__(self, actor: Actor, source: Source, feed: VideoFeed, loop_s: int, watch: Watch):
        loop = LoopLibrary.of_user().video(picture_of(actor.person, source, feed, loop_s), feed)
        self._watch = watch
        self.frames = [_fitted(luma, watch) for luma in decode(loop, feed.codec)]

    def damage(self, tile: Luma, counter: int) -> float:
        """Mean difference of the worst region, luma levels; *tile* is cut out of the canvas."""
        rows, columns = _shown(self._watch)
        return difference(tile[rows, columns], self.frames[counter % len(self.frames)])


def decode(loop: Loop, codec: Codec) -> list[Luma]:
    """Luma of every frame of *loop*."""
    decoder = av.CodecContext.create(_DECODERS[codec], "r")
    decoder.thread_count = 1
    pictures = [frame for unit in loop for frame in decoder.decode(av.Packet(unit.data))]
    pictures += decoder.decode(None)
    return [
        np.ascontiguousarray(p.to_ndarray(format="gray")[: p.height, : p.width]) for p in pictures
    ]


def difference(tile: Luma, sent: Luma) -> float:
    """Mean absolute difference, luma levels, of the region of the two that differs most."""
    gap = np.abs(tile.astype(np.int16) - sent)
    height, width = (side // REGIONS * REGIONS for side in gap.shape)
    regions = gap[:height, :width].reshape(REGIONS, height // REGIONS, REGIONS, width // REGIONS)
    return float(regions.mean(axis=(1, 3)).max())


def _shown(watch: Watch) -> tuple[slice, slice]:
    """The rows and columns of the tile that the picture covers."""
    if watch.fit is Fit.COVER:
        return slice(None), slice(None)
    scale = min(watch.rect.width / watch.source.width, watch.rect.height / watch.source.height)
    height, width = round(watch.source.height * scale), round(watch.source.width * scale)
    top, left = (watch.rect.height - height) // 2, (watch.rect.width - width) // 2
    return slice(top, top + height), slice(left, left + width)


def _fitted(luma: Luma, watch: Watch) -> Luma:
    """*luma* scaled as the tile's fit wants it, by a scaler of its own."""
    rows, columns = _shown(watch)
    width = watch.rect.width if columns.stop is None else columns.stop - columns.start
    height = watch.rect.height if rows.stop is None else rows.stop - rows.start
    scale = max(width / luma.shape[1], height / luma.shape[0])
    cut_x, cut_y = (luma.shape[1] - width / scale) / 2, (luma.shape[0] - height / scale) / 2
    box = (cut_x, cut_y, luma.shape[1] - cut_x, luma.shape[0] - cut_y)
    image = Image.fromarray(luma).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)
