"""Waiting longer after each failure, up to a limit, and not in step with everybody else."""

import random

FIRST_S = 0.2
LIMIT_S = 5.0
_SPREAD = 0.2


class Backoff:
    """Delays of 0.2, 0.4, … 5 s, each spread by 20 % either way."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """How long to wait before the next attempt."""
        delay_s = self._next_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)
        self._next_s = min(2 * self._next_s, self._limit_s)
        return delay_s

    def reset(self) -> None:
        """An attempt succeeded."""
        self._next_s = FIRST_S
