"""Reads the sockets of a whole room in one go, 17 to 50 times a second.

Waking the event loop costs more than a packet, so packets wait for the next tick. That costs no
accuracy: the kernel stamps them on arrival. See docs/decisions/0008-batched-reads.md.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.recvmmsg import BATCH_DATAGRAMS, Address, Batch, is_available, prepare

READ_INTERVAL_S = 0.020
"""A packet waits 10 ms on average, of a playout delay of 600; at 10 ms reception costs a tenth
more."""
CALM_INTERVAL_S = 0.060
"""While nobody waits for anything: a lost packet is missed 20 ms later on average, and reception
costs a quarter less. A transport feedback, due each 100 ms, leaves at every second read."""
FULL_INTERVAL_S = 0.040
"""The same, but a socket brings so much that its buffer must not wait longer."""
CALM_DATAGRAMS = 90
"""Of 1200 bytes, half of what fits into a buffer for which there was no leave to enlarge it."""
BATCHES_PER_TICK = 8
"""Of 64 datagrams, per socket: 25,600 a second, 19,200 while nobody waits for anything; a room of
100 sends less over one."""
MAX_BATCHES = 12
"""After a longer break; handling as many takes some 15 ms."""
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
    """Calls handlers from within `read`. A socket is read at a limited rate: one that is flooded
    loses datagrams in its own buffer, and keeps the others waiting for some ms at most.
    """

    def __init__(
        self, *, clock_ns: Callable[[], int], wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """*wall_ns* is the clock of the kernel's time stamps. Only where `is_available`."""
        self.overflowed = 0
        """Datagrams of all sockets that the kernel dropped for want of room."""
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._read_ns = clock_ns()
        self._offset_ns = self._read_ns - wall_ns()
        self._batch = Batch()
        self._busiest_per_s = 0.0
        """Datagrams of the socket that brought most the last time."""
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
        """Hand out what has come since the last call. To be called again after `pause_s`."""
        if self._ready.closed:
            return
        now_ns = self._clock_ns()
        offset_ns = now_ns - self._wall_ns()
        was_set = abs(offset_ns - self._offset_ns) > STEP_NS
        self._offset_ns = offset_ns
        elapsed_s = (now_ns - self._read_ns) / NS_PER_S
        ticks = elapsed_s / READ_INTERVAL_S
        self._read_ns = now_ns
        most = 0
        batches = min(max(BATCHES_PER_TICK, int(ticks * BATCHES_PER_TICK)), MAX_BATCHES)
        for descriptor, _ in self._ready.poll(0):
            source = self._sources.get(descriptor)
            if source is None:
                continue  # ended by a handler of this very call
            count = 0
            for _ in range(batches):
                datagrams = self._batch.receive(descriptor)
                count += len(datagrams)
                for datagram, address, stamp_ns in datagrams:
                    if stamp_ns is None or was_set:
                        source.handle(datagram, address, now_ns)
                    else:
                        source.handle(datagram, address, stamp_ns + offset_ns)
                if self._batch.overflowed is not None:
                    self._count(source, self._batch.overflowed)
                if len(datagrams) < BATCH_DATAGRAMS:
                    break
            most = max(most, count)
        self._busiest_per_s = most / elapsed_s if elapsed_s > 0 else 0.0

    def pause_s(self, *, is_calm: bool) -> float:
        """How long to wait before the next `read`; *is_calm*: nobody waits for anything."""
        if not is_calm:
            return READ_INTERVAL_S
        if self._busiest_per_s * CALM_INTERVAL_S > CALM_DATAGRAMS:
            return FULL_INTERVAL_S
        return CALM_INTERVAL_S

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
