"""Which decoded picture of a track is shown at an instant."""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.core.identity import Source
from worker.core.timing import NS_PER_S

T = TypeVar("T")

CAMERA_HOLD_NS = 3 * NS_PER_S
"""A face that has not moved for this long is a frozen picture: the placeholder is honest."""
SCREEN_HOLD_NS = 30 * NS_PER_S
"""A shared screen may rest; its senders repeat a frame every few seconds at the latest."""


def hold_ns(source: Source) -> int:
    """How long the last picture of a track is shown without a new one."""
    return SCREEN_HOLD_NS if source is Source.SCREEN else CAMERA_HOLD_NS


@dataclass(slots=True)
class PlayoutStatistics:
    """Counters of one track's pictures."""

    shown: int = 0
    """Pictures that were on the canvas at least once."""
    skipped: int = 0
    """Pictures that came in time but were replaced by a newer one before they were shown."""
    late: int = 0
    """Pictures whose instant had passed at the last pick; those not the newest are skipped too."""


class VideoPlayout(Generic[T]):
    """Decoded pictures of one track, waiting for their instants.

    Holds at most *capacity* waiting pictures; when one more is pushed the oldest goes (newest
    wins). Pictures are pushed in decoding order.
    """

    def __init__(self, hold_ns: int, capacity: int = 16) -> None:
        assert capacity > 0
        self._hold_ns = hold_ns
        self._capacity = capacity
        self._waiting: deque[tuple[int, T]] = deque()
        self._shown: tuple[int, T] | None = None
        self._was_counted = False
        self._picked_ns: int | None = None
        self._muted = False
        self.statistics = PlayoutStatistics()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, picture: T, due_ns: int) -> None:
        """Add a picture to be shown from *due_ns* on.

        A picture that is due before earlier ones replaces those: the track's clock was set back.
        """
        if self._picked_ns is not None and due_ns <= self._picked_ns:
            self.statistics.late += 1
        while self._waiting and self._waiting[-1][0] >= due_ns:
            self._waiting.pop()
            self.statistics.skipped += 1
        self._waiting.append((due_ns, picture))
        if len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self.statistics.skipped += 1

    def pick(self, now_ns: int) -> T | None:
        """The newest picture whose instant has come, or None: muted, none yet, or held too long."""
        self._picked_ns = now_ns
        while self._waiting and self._waiting[0][0] <= now_ns:
            if self._shown is not None and not self._was_counted:
                self.statistics.skipped += 1
            self._shown = self._waiting.popleft()
            self._was_counted = False
        if self._shown is None or self._muted:
            return None
        due_ns, picture = self._shown
        if now_ns - due_ns > self._hold_ns:
            return None
        if not self._was_counted:
            self._was_counted = True
            self.statistics.shown += 1
        return picture

    def mute(self) -> None:
        """Show nothing until `unmute`; what was there is forgotten."""
        self._muted = True
        self.clear()

    def unmute(self) -> None:
        """Show again, from the newest picture pushed since `mute` whose instant has come."""
        self._muted = False

    def clear(self) -> None:
        """Forget all pictures: the track has ended or begins anew."""
        self._waiting.clear()
        self._shown = None
        self._was_counted = False
