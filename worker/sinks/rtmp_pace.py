"""At most twice real time: a server that comes back is not met with a burst. Pure."""

from worker.core.timing import NS_PER_MS

SPEED = 2
ALLOWANCE_NS = 250 * NS_PER_MS
"""How far ahead of that a batch of the encoder may be."""
LONGEST_STEP_MS = 100
"""More between two packets is media that was dropped, and takes no time to send."""


class Pace:
    """Tells of each packet whether it may be sent yet."""

    def __init__(self, now_ns: int) -> None:
        self._due_ns = now_ns
        self._last_ms: int | None = None

    def allows(self, now_ns: int) -> bool:
        """Whether something may be sent."""
        return self._due_ns <= now_ns + ALLOWANCE_NS

    def sent(self, time_ms: int, now_ns: int) -> None:
        """A packet of media time *time_ms* was sent."""
        step_ms = 0 if self._last_ms is None else time_ms - self._last_ms
        step_ms = min(max(step_ms, 0), LONGEST_STEP_MS)
        self._last_ms = time_ms
        self._due_ns = max(self._due_ns, now_ns) + step_ms * NS_PER_MS // SPEED
