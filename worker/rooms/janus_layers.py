"""Which simulcast layer of a publisher fits a tile."""

from worker.core.layout.geometry import Size

HIGHEST = 2
"""Janus numbers up to three substreams from the smallest, 0."""
ASSUMED_FULL = Size(1280, 720)
"""Until a keyframe tells; browsers send 1280x720 and its half and quarter."""
ENOUGH = 0.9
"""A layer may be enlarged a little: the next one costs four times as much."""


class SimulcastLayers:
    """What is known of one publisher's layers; each is half as wide as the next larger one."""

    def __init__(self) -> None:
        self._full = ASSUMED_FULL

    def note(self, substream: int, size: Size) -> None:
        """A keyframe of *substream* (0..2) had this size."""
        scale = 1 << (HIGHEST - substream)
        self._full = Size(size.width * scale, size.height * scale)

    def fit(self, tile: Size) -> int:
        """The smallest substream that covers *tile* (pixels), cropped, without a blur."""
        for substream in range(HIGHEST):
            scale = 1 << (HIGHEST - substream)
            if (
                self._full.width >= ENOUGH * tile.width * scale
                and self._full.height >= ENOUGH * tile.height * scale
            ):
                return substream
        return HIGHEST
