"""Decoded sound of one track, addressed by sample position at the sender."""

import numpy as np
from numpy.typing import NDArray

HISTORY = 256
"""Samples kept behind the position that is played: the resampler's kernel, a splice's lag."""
CAPACITY = 16_384
"""Samples: two of the longest packets (120 ms), a block and the history, twice over."""


class PcmRing:
    """A window [start, end) of decoded samples; outside of it there is silence.

    Mono until the first stereo samples come, then stereo for good.
    """

    def __init__(self) -> None:
        self._pcm = np.zeros((CAPACITY, 1), np.float32)
        self._head = 0
        self.start = 0
        self.end = 0

    @property
    def channels(self) -> int:
        return self._pcm.shape[1]

    def reset(self, position: int) -> None:
        """Empty the window and put it at *position*."""
        self.start = self.end = position
        self._head = 0

    def append(self, pcm: NDArray[np.float32]) -> None:
        """Add (samples, 1 or 2) float32 at the end; mono is doubled once the ring is stereo."""
        if pcm.shape[1] > self.channels:
            self._pcm = np.repeat(self._pcm, 2, axis=1)
        count = pcm.shape[0]
        self._make_room(count)
        tail = self._head + self.end - self.start
        self._pcm[tail : tail + count] = pcm
        self.end += count

    def append_silence(self, count: int) -> None:
        """Add *count* samples of silence."""
        self._make_room(count)
        tail = self._head + self.end - self.start
        self._pcm[tail : tail + count] = 0
        self.end += count

    def discard_before(self, position: int) -> None:
        """Forget what lies before *position*, but for the history."""
        self.forget_before(position - HISTORY)

    def forget_before(self, position: int) -> None:
        """Forget what lies before *position*."""
        count = min(max(0, position - self.start), self.end - self.start)
        self.start += count
        self._head += count

    def read(self, begin: int, end: int) -> NDArray[np.float32]:
        """A copy of [begin, end), (samples, channels), with silence outside the window."""
        first, last = max(begin, self.start), min(end, self.end)
        if first == begin and last == end:
            at = self._head + begin - self.start
            return self._pcm[at : at + end - begin].copy()
        pcm = np.zeros((end - begin, self.channels), np.float32)
        if first < last:
            at = self._head + first - self.start
            pcm[first - begin : last - begin] = self._pcm[at : at + last - first]
        return pcm

    def scale(self, begin: int, gains: NDArray[np.float32]) -> None:
        """Multiply the samples from *begin* on by *gains* (samples,), where there are any."""
        first, last = max(begin, self.start), min(begin + gains.shape[0], self.end)
        if first < last:
            at = self._head + first - self.start
            self._pcm[at : at + last - first] *= gains[first - begin : last - begin, None]

    def _make_room(self, count: int) -> None:
        length = self.end - self.start
        if self._head + length + count <= CAPACITY:
            return
        assert length + count <= CAPACITY, "the window is discarded as it is played"
        self._pcm[:length] = self._pcm[self._head : self._head + length].copy()
        self._head = 0
