"""The buffers output pictures are painted in: a bounded pool of planar YUV 4:2:0 arrays.

A finished canvas may be handed out several times (a frame that is repeated); its buffer returns
to the pool with the last release.
"""

from threading import Lock

import av
import numpy as np
from numpy.typing import NDArray

from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.errors import InternalError


class CanvasBuffer:
    """One picture's memory; `planes` are views of `array`, laid out as FFmpeg's yuv420p."""

    def __init__(self, size: Size) -> None:
        width, height = size.width, size.height
        self.array: NDArray[np.uint8] = np.zeros((height * 3 // 2, width), np.uint8)
        chroma = self.array[height:].reshape(2, height // 2, width // 2)
        self.planes = VideoPlanes(self.array[:height], chroma[0], chroma[1])
        self.holders = 0


class PooledCanvas:
    """A `ports.Canvas`: one handle on a painted buffer, good until its release."""

    def __init__(self, pool: "CanvasPool", buffer: CanvasBuffer) -> None:
        self._pool = pool
        self._buffer: CanvasBuffer | None = buffer
        self._size = pool.size

    @property
    def size(self) -> Size:
        return self._size

    @property
    def planes(self) -> VideoPlanes:
        """The pixels; nobody may write them."""
        return self._held().planes

    def frame(self) -> av.VideoFrame:
        """A new FFmpeg frame over the same memory."""
        return av.VideoFrame.from_numpy_buffer(self._held().array, format="yuv420p")

    def another(self) -> "PooledCanvas":
        """A second handle on the same picture."""
        return self._pool.hand_out(self._held())

    def release(self) -> None:
        """Give the handle back. A second time raises `InternalError`."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            raise InternalError("a canvas was released twice")
        self._pool.take_back(buffer)

    def _held(self) -> CanvasBuffer:
        if self._buffer is None:
            raise InternalError("a canvas was used after its release")
        return self._buffer


class CanvasPool:
    """At most *capacity* buffers of one size; policy when all are out: `InternalError`.

    Handles are released on another thread than they are taken on.
    """

    def __init__(self, size: Size, capacity: int) -> None:
        if size.width % 2 or size.height % 2 or min(size.width, size.height) < 2:
            raise InternalError(f"a canvas of {size.width}x{size.height} has no even sides")
        self.size = size
        self._capacity = capacity
        self._made = 0
        self._free: list[CanvasBuffer] = []
        self._lock = Lock()

    def take(self) -> CanvasBuffer:
        """A buffer with unspecified pixels that nobody else holds; the last used one first."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._made == self._capacity:
                raise InternalError(f"all {self._capacity} canvases are in use")
            self._made += 1
        return CanvasBuffer(self.size)

    def hand_out(self, buffer: CanvasBuffer) -> PooledCanvas:
        """One more handle on *buffer*."""
        with self._lock:
            buffer.holders += 1
        return PooledCanvas(self, buffer)

    def take_back(self, buffer: CanvasBuffer) -> None:
        """One handle less; the last one frees the buffer."""
        with self._lock:
            buffer.holders -= 1
            if not buffer.holders:
                self._free.append(buffer)
