"""A seeded model of a bad network, applied by the sender to its own packets.

Pure: the same seed and the same calls give the same losses and delays, whatever the wall clock.
"""

from dataclasses import dataclass, field
from random import Random

from worker.core.timing import NS_PER_MS, NS_PER_S

_JITTER_SLOT_NS = 50 * NS_PER_MS
"""Jitter is drawn per slot, not per packet: queues along a path change slower than packets come."""
_COPY_NS = 1 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """What the way to the room does to packets. Probabilities are 0..1; times are not negative.

    In every `burst_every_s` seconds, the last `burst_ms` lose everything. `jitter_ms` is the
    largest delay on top of `delay_ms`; it keeps the order, `reorder` does not: it holds packets
    back by `reorder_ms`.
    """

    loss: float = 0.0
    burst_ms: int = 0
    burst_every_s: float = 10.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    reorder_ms: float = 25.0
    """By default longer than the 20 ms to the next audio packet."""
    blocks_rtcp: bool = False
    """Media passes, reports and feedback do not."""


@dataclass(slots=True)
class Impairment:
    """One direction of one sender's path. Feed it packets in order of sending."""

    faults: NetworkFaults
    seed: str
    start_ns: int
    """Bursts are counted from here."""
    _random: Random = field(init=False)
    _last_arrival_ns: int = field(init=False, default=-1)
    _jitter_slot: int = field(init=False, default=-1)
    _jitter_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def arrivals(self, now_ns: int) -> tuple[int, ...]:
        """When a packet sent at *now_ns* arrives: nothing when lost, twice when duplicated."""
        if self._is_lost(now_ns):
            return ()
        faults = self.faults
        arrival_ns = max(self._last_arrival_ns, now_ns + self._delay_ns(now_ns))
        if self._happens(faults.reorder):
            return (arrival_ns + round(faults.reorder_ms * NS_PER_MS),)
        self._last_arrival_ns = arrival_ns
        if self._happens(faults.duplicate):
            return (arrival_ns, arrival_ns + _COPY_NS)
        return (arrival_ns,)

    def rtcp_arrivals(self, now_ns: int) -> tuple[int, ...]:
        """The same for a packet of RTCP."""
        return () if self.faults.blocks_rtcp else self.arrivals(now_ns)

    def _is_lost(self, now_ns: int) -> bool:
        faults = self.faults
        if faults.burst_ms:
            period_ns = round(faults.burst_every_s * NS_PER_S)
            if (now_ns - self.start_ns) % period_ns >= period_ns - faults.burst_ms * NS_PER_MS:
                return True
        return self._happens(faults.loss)

    def _delay_ns(self, now_ns: int) -> int:
        slot = now_ns // _JITTER_SLOT_NS
        if slot != self._jitter_slot:
            self._jitter_slot = slot
            self._jitter_ns = round(self._random.random() * self.faults.jitter_ms * NS_PER_MS)
        return round(self.faults.delay_ms * NS_PER_MS) + self._jitter_ns

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
