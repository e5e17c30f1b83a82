"""The way of one sender's packets to one subscriber, through the model of a bad network."""

import asyncio
from collections.abc import Callable, Iterable

from worker.core.timing import NS_PER_S
from worker.testroom.faults import Impairment, NetworkFaults


class Uplink:
    """Sends at once, later, twice or not at all, as *path* says. Needs the running loop's time."""

    def __init__(self, path: Impairment) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()

    @property
    def faults(self) -> NetworkFaults:
        return self._path.faults

    @faults.setter
    def faults(self, faults: NetworkFaults) -> None:
        self._path.faults = faults

    def send(self, packets: Iterable[bytes], emit: Callable[[bytes], None]) -> None:
        """Give *packets* to *emit* when they would arrive; late ones may come after closing."""
        now_ns = round(self._loop.time() * NS_PER_S)
        for packet in packets:
            for arrival_ns in self._path.arrivals(now_ns):
                if arrival_ns <= now_ns:
                    emit(packet)
                else:
                    self._loop.call_at(arrival_ns / NS_PER_S, emit, packet)
