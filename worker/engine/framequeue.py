"""Encoded frames of one video track, waiting in decoding order; can be cut at keyframes only."""

from collections import deque
from collections.abc import Sequence

from worker.ports import EncodedFrame


class FrameQueue:
    """Knows where its keyframes are; whoever fills it sheds what is too much."""

    def __init__(self) -> None:
        self.bytes = 0
        self._frames: deque[EncodedFrame] = deque()
        self._popped = 0
        self._keyframes: deque[int] = deque()
        """How many frames were in the queue, ever, before each keyframe that is in it now."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def first(self) -> EncodedFrame:
        return self._frames[0]

    @property
    def next_keyframe(self) -> EncodedFrame | None:
        """The second keyframe in the queue: what comes before it may be left out."""
        if len(self._keyframes) < 2:
            return None
        return self._frames[self._keyframes[1] - self._popped]

    def push(self, frame: EncodedFrame) -> None:
        """Append the newest frame."""
        if frame.keyframe:
            self._keyframes.append(self._popped + len(self._frames))
        self._frames.append(frame)
        self.bytes += len(frame.data)

    def pop(self) -> EncodedFrame:
        """Take the oldest frame."""
        frame = self._frames.popleft()
        self.bytes -= len(frame.data)
        if frame.keyframe:
            self._keyframes.popleft()
        self._popped += 1
        return frame

    def put_back(self, frames: Sequence[EncodedFrame]) -> None:
        """Undo the last pops, *frames* oldest first."""
        for frame in reversed(frames):
            self._frames.appendleft(frame)
            self.bytes += len(frame.data)
            self._popped -= 1
            if frame.keyframe:
                self._keyframes.appendleft(self._popped)

    def pop_to_next_keyframe(self) -> None:
        """Take everything before the second keyframe in the queue."""
        if len(self._keyframes) > 1:
            for _ in range(self._keyframes[1] - self._popped):
                self.pop()
