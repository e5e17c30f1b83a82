"""Reads the sockets of a whole room in one go, a hundred times a second.

Waking the event loop costs more than a packet, so packets wait for the next tick. That costs no
accuracy: the kernel stamps them on arrival. See docs/decisions/0008-batched-reads.md.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.core.timing import NS_PER_MS
from worker.rooms.recvmmsg import Address, Batch, is_available, prepare

READ_INTERVAL_S = 0.010
"""Of 25 participants at 180p15, who are 20 packets per tick; at 5 ms a packet costs half more."""
STEP_NS = NS_PER_MS
"""A wall clock that moves this much against ours between two ticks has been set."""

DatagramHandler = Callable[[bytes, Address, int], None]
"""Takes a datagram, its sender and its arrival in ns on the reader's clock; must not raise."""


@dataclass(slots=True)
class _Source:
    handle: DatagramHandler
    on_overflow: Callable[[int], None]
    overflowed: int = 0


class DatagramReader:
    """Calls handlers from within `read`. A socket gets one batch per call: one that is flooded
    loses datagrams in its own buffer, and the others wait for it no longer than a batch takes.
    """

    def __init__(
        self, *, clock_ns: Callable[[], int], wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """*wall_ns* is the clock of the kernel's time stamps. Only where `is_available`."""
        self.overflowed = 0
        """Datagrams of all sockets that the kernel dropped for want of room."""
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._offset_ns = clock_ns() - wall_ns()
        self._batch = Batch()
        self._ready = select.epoll()
        self._sources: dict[int, _Source] = {}

    @classmethod
    def where_available(cls, clock_ns: Callable[[], int]) -> "DatagramReader | None":
        """A reader; None on a system that cannot read in batches."""
        return cls(clock_ns=clock_ns) if is_available() else None

    def add(
        self, udp: socket.socket, handle: DatagramHandler, on_overflow: Callable[[int], None]
    ) -> Callable[[], None]:
        """Read *udp* from now on, which nobody else may; returns what ends it.

        *on_overflow* is told how many more datagrams the kernel has dropped. End it before the
        socket is closed: its descriptor may be another socket's afterwards.
        """
        prepare(udp)
        descriptor = udp.fileno()
        source = self._sources[descriptor] = _Source(handle, on_overflow)
        self._ready.register(descriptor, select.EPOLLIN)

        def end() -> None:
            if self._sources.get(descriptor) is source:
                del self._sources[descriptor]
                try:
                    self._ready.unregister(descriptor)
                except OSError:
                    pass  # the socket was closed first, which took it from the list as well

        return end

    def read(self) -> None:
        """Hand out what has come since the last call; call it each `READ_INTERVAL_S`."""
        if self._ready.closed:
            return
        now_ns = self._clock_ns()
        offset_ns = now_ns - self._wall_ns()
        was_set = abs(offset_ns - self._offset_ns) > STEP_NS
        self._offset_ns = offset_ns
        batch = self._batch
        for descriptor, _ in self._ready.poll(0):
            source = self._sources.get(descriptor)
            if source is None:
                continue  # ended by a handler of this very call
            handle = source.handle
            for datagram, address, stamp_ns in batch.receive(descriptor):
                if stamp_ns is None or was_set:
                    handle(datagram, address, now_ns)
                else:
                    handle(datagram, address, stamp_ns + offset_ns)
            if batch.overflowed is not None:
                self._count(source, batch.overflowed)

    def close(self) -> None:
        """Read nothing any more."""
        self._sources.clear()
        self._ready.close()

    def _count(self, source: _Source, overflowed: int) -> None:
        more = overflowed - source.overflowed & 0xFFFFFFFF
        if more:
            source.overflowed = overflowed
            self.overflowed += more
            source.on_overflow(more)
