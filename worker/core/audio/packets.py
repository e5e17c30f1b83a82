"""Undecoded packets of one audio track, in the order of their timestamps."""

from bisect import bisect_left

from worker.core.timing import SAMPLE_RATE_HZ

SPAN_SAMPLES = 6 * SAMPLE_RATE_HZ
"""Timestamps may lie this far apart: as the longest playout delay, and some. A sender that runs
ahead costs itself its oldest packets."""
CAPACITY = 2600
"""Packets; 6 s of the shortest ones that Opus knows, and some."""


class PacketQueue:
    """Packets by RTP timestamp (samples at 48 kHz), at most 6 s of them; drops the oldest."""

    def __init__(self) -> None:
        self._timestamps: list[int] = []
        self._payloads: list[bytes] = []
        self.dropped = 0
        self.duplicated = 0

    def __len__(self) -> int:
        return len(self._timestamps)

    def push(self, timestamp: int, payload: bytes) -> None:
        """Put a packet in its place; one with the timestamp of another is a duplicate."""
        timestamps = self._timestamps
        if not timestamps or timestamp > timestamps[-1]:
            timestamps.append(timestamp)
            self._payloads.append(payload)
        else:
            at = bisect_left(timestamps, timestamp)
            if timestamps[at] == timestamp:
                self.duplicated += 1
                return
            timestamps.insert(at, timestamp)
            self._payloads.insert(at, payload)
        while len(timestamps) > CAPACITY or timestamps[-1] - timestamps[0] > SPAN_SAMPLES:
            self.pop()
            self.dropped += 1

    def first(self) -> int | None:
        """Timestamp of the oldest packet."""
        return self._timestamps[0] if self._timestamps else None

    def last(self) -> int | None:
        """Timestamp of the newest packet."""
        return self._timestamps[-1] if self._timestamps else None

    def peek(self) -> bytes:
        """Payload of the oldest packet; there must be one."""
        return self._payloads[0]

    def pop(self) -> bytes:
        """Take the oldest packet out; there must be one."""
        del self._timestamps[0]
        return self._payloads.pop(0)

    def drop_before(self, timestamp: int) -> int:
        """Drop packets older than *timestamp*; returns how many there were."""
        count = bisect_left(self._timestamps, timestamp)
        del self._timestamps[:count]
        del self._payloads[:count]
        return count
