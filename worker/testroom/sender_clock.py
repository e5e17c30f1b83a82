"""The clock of a synthetic sender, which runs a little fast or slow against the room's."""

from dataclasses import dataclass
from random import Random

from worker.core.timing import NS_PER_S
from worker.testroom.scenario import Actor

_BILLION = 1_000_000_000
_WALL_START_NS = 3_976_214_400 * NS_PER_S
"""1 January 2026 in seconds since 1900, the epoch of NTP."""
_WALL_SPREAD_S = 3600
"""Senders' wall clocks disagree by up to an hour: nobody may compare them."""


@dataclass(frozen=True, slots=True)
class SenderClock:
    """Reads `offset_ns` at `start_ns` of the room's time and gains `rate_ppb` ns per second."""

    start_ns: int
    offset_ns: int
    rate_ppb: int
    wall_start_ns: int

    @classmethod
    def of(cls, actor: Actor, seed: int) -> "SenderClock":
        """The clock of *actor*, started at the first join."""
        spread_s = Random(f"{seed}/{actor.user_id}/wall").randrange(_WALL_SPREAD_S)
        return cls(
            start_ns=round(actor.join_s * NS_PER_S),
            offset_ns=round(actor.start_offset_s * NS_PER_S),
            rate_ppb=round(actor.clock_ppm * 1000),
            wall_start_ns=_WALL_START_NS + spread_s * NS_PER_S,
        )

    def reading_ns(self, instant_ns: int) -> int:
        """What the clock shows at a room *instant_ns*, rounded down."""
        elapsed_ns = instant_ns - self.start_ns
        return self.offset_ns + elapsed_ns * (_BILLION + self.rate_ppb) // _BILLION

    def instant_ns(self, reading_ns: int) -> int:
        """The first room instant at which the clock shows *reading_ns*."""
        elapsed_ns = reading_ns - self.offset_ns
        return self.start_ns - (-elapsed_ns * _BILLION // (_BILLION + self.rate_ppb))

    def wall_ns(self, reading_ns: int) -> int:
        """The sender's wall clock, ns since 1900, when the clock shows *reading_ns*."""
        return self.wall_start_ns + reading_ns
