"""Whether a server keeps up, told from what it has not confirmed yet. Pure.

Two witnesses: bytes that are still in our machine (socket and its queue), and RTMP's own
acknowledgements. Kernels between us and a stopped server swallow megabytes and confirm them, so
only the second sees it; but a server may never acknowledge, or as seldom as it likes.
"""

from collections import deque
from enum import Enum

from worker.core.timing import NS_PER_S

STALL_MEDIA_MS = 2_000
RESUME_MEDIA_MS = 1_000
STALL_NS = 5 * NS_PER_S
DEAD_NS = 10 * NS_PER_S

TRUSTED_AFTER = 3
"""Acknowledgements from which a server's rhythm is known."""
_MARGIN = 1.25
"""A server that acknowledges every n bytes is late when so many times n are open."""
_RHYTHM = 8


class Flow(Enum):
    """What can be done with a connection."""

    OPEN = "open"
    STALLED = "stalled"
    """Send nothing more until most of it has arrived."""
    DEAD = "dead"


class Progress:
    """Follows one connection. Byte counts begin after the handshake."""

    def __init__(self, now_ns: int, *, window_bytes: int) -> None:
        """*window_bytes*: what the server was asked to acknowledge each time."""
        self._window_bytes = window_bytes
        self._gaps: deque[int] = deque(maxlen=_RHYTHM)
        self._acknowledgements = 0
        self._last_sequence = 0
        self._acknowledged_bytes = 0
        self._open: deque[tuple[int, int]] = deque()
        """End offset and time of every message that has not arrived; two seconds of them."""
        self._sent_bytes = 0
        self._sent_ms = 0
        self._arrived_bytes = 0
        self._progress_ns = now_ns
        self._flow = Flow.OPEN

    def sent(self, total_bytes: int, time_ms: int) -> None:
        """A message of media time *time_ms* ended at byte *total_bytes* of the connection."""
        self._sent_bytes, self._sent_ms = total_bytes, time_ms
        self._open.append((total_bytes, time_ms))

    def acknowledged(self, sequence: int) -> None:
        """The server has received so many bytes, modulo 2^32; the same again is no news."""
        gap = (sequence - self._last_sequence) & 0xFFFF_FFFF
        if not gap:
            return
        self._last_sequence = sequence
        self._acknowledgements += 1
        # nginx starts at zero again before it would overflow: never more than was sent.
        self._acknowledged_bytes = min(self._acknowledged_bytes + gap, self._sent_bytes)
        self._gaps.append(min(gap, self._sent_bytes))

    def look(self, now_ns: int, *, queued_bytes: int) -> Flow:
        """Judge, now that *queued_bytes* are unsent or unconfirmed by the peer's kernel."""
        arrived = self._sent_bytes - queued_bytes
        if self._acknowledgements >= TRUSTED_AFTER:
            rhythm_bytes = max(self._window_bytes, *self._gaps)
            arrived = min(arrived, self._acknowledged_bytes + round(rhythm_bytes * _MARGIN))
        if arrived > self._arrived_bytes or arrived >= self._sent_bytes:
            self._progress_ns = now_ns
        self._arrived_bytes = max(arrived, self._arrived_bytes)
        while self._open and self._open[0][0] <= self._arrived_bytes:
            self._open.popleft()
        self._flow = self._judge(now_ns - self._progress_ns)
        return self._flow

    @property
    def open_ms(self) -> int:
        """Media time between the oldest message that has not arrived and the newest."""
        return self._sent_ms - self._open[0][1] if self._open else 0

    @property
    def has_arrived(self) -> bool:
        """Everything sent has."""
        return not self._open

    def _judge(self, silent_ns: int) -> Flow:
        if silent_ns >= DEAD_NS:
            return Flow.DEAD
        limit_ms = RESUME_MEDIA_MS if self._flow is Flow.STALLED else STALL_MEDIA_MS
        is_stalled = silent_ns >= STALL_NS or self.open_ms > limit_ms
        return Flow.STALLED if is_stalled else Flow.OPEN
