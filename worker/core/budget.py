"""So much per second, and a good deal at once."""

from worker.core.timing import NS_PER_S


class Budget:
    """A leaky bucket: *per_s* units a second for good, *burst_s* seconds' worth of them at once.

    The virtual scheduling algorithm of ITU-T I.371 (GCRA): one integer of state.
    """

    def __init__(self, per_s: int, burst_s: int) -> None:
        self._per_s = per_s
        self._burst_ns = burst_s * NS_PER_S
        self._level_ns = 0
        """When everything taken so far would be paid off."""

    def take(self, amount: int, now_ns: int) -> bool:
        """Take *amount* units at *now_ns*; False, and nothing taken, when that is too much."""
        owed_ns = max(0, self._level_ns - now_ns) + amount * NS_PER_S // self._per_s
        if owed_ns > self._burst_ns:
            return False
        self._level_ns = now_ns + owed_ns
        return True
