"""What is to happen when, in order; what was added first goes first."""

import heapq
from collections.abc import Callable


class Agenda:
    """Calls by their instants, ns. Not bounded: each entry is somebody's next step or a packet
    under way."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Callable[[], None]]] = []
        self._added = 0

    def add(self, at_ns: int, call: Callable[[], None]) -> None:
        heapq.heappush(self._entries, (at_ns, self._added, call))
        self._added += 1

    def next_ns(self) -> int | None:
        """When the next call is due."""
        return self._entries[0][0] if self._entries else None

    def do_next(self) -> None:
        """Make the next call; there must be one."""
        heapq.heappop(self._entries)[2]()
