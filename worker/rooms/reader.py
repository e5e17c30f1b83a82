"""Reads the sockets of a whole room in one go, 25 to 50 times a second.

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
CALM_INTERVAL_S = 0.040
"""While nobody waits for anything: a lost packet is missed 10 ms later on average, and reception
costs a fifth less."""
BATCHES_PER_TICK = 8
"""Of 64 datagrams, per socket: 25,600 a second, 19,200 in a calm room; a room of 100 sends less
over one."""
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
        """Hand out what has come since the last call.

        To be called each `READ_INTERVAL_S`, in a calm room each `CALM_INTERVAL_S`.
        """
        if self._ready.closed:
            return
        now_ns = self._clock_ns()
        offset_ns = now_ns - self._wall_ns()
        was_set = abs(offset_ns - self._offset_ns) > STEP_NS
        self._offset_ns = offset_ns
        ticks = (now_ns - self._read_ns) / (READ_INTERVAL_S * NS_PER_S)
        self._read_ns = now_ns
        batches = min(max(BATCHES_PER_TICK, int(ticks * BATCHES_PER_TICK)), MAX_BATCHES)
        for descriptor, _ in self._ready.poll(0):
            source = self._sources.get(descriptor)
            if source is None:
                continue  # ended by a handler of this very call
            for _ in range(batches):
                datagrams = self._batch.receive(descriptor)
                for datagram, address, stamp_ns in datagrams:
                    if stamp_ns is None or was_set:
                        source.handle(datagram, address, now_ns)
                    else:
                        source.handle(datagram, address, stamp_ns + offset_ns)
                if self._batch.overflowed is not None:
                    self._count(source, self._batch.overflowed)
                if len(datagrams) < BATCH_DATAGRAMS:
                    break

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
