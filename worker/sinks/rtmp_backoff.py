"""When to try again. Pure but for the jitter, which is given.

A server that cannot be reached is looked for every four seconds at most, so that its first push
comes within five of its return; one that says no is asked more and more seldom.
"""

from collections.abc import Callable

from worker.core.timing import NS_PER_S

FIRST_S = 1.0
UNREACHABLE_LIMIT_S = 4.0
REFUSED_LIMIT_S = 30.0
REFUSALS = 10
AFTER_REFUSALS_S = 60.0
SPREAD = 0.2
"""Waits are up to so much shorter, lest many workers call in step."""
STABLE_NS = 10 * NS_PER_S
"""A connection that lived so long was good; what follows begins at one second again."""
HASTY_NS = 2 * NS_PER_S
"""One that was lost sooner was refused: nginx says yes to a publisher it then throws out."""


class Backoff:
    """1, 2, 4 s, then 4 s or up to 30 and 60 s."""

    def __init__(self, random: Callable[[], float]) -> None:
        """*random* gives numbers in [0, 1)."""
        self._random = random
        self._failures = 0
        self._refusals = 0

    def failed(self, *, refused: bool, lived_ns: int | None = None) -> float:
        """Seconds to wait after one more failure.

        *refused*: the server answered with a no. *lived_ns*: how long the connection was live.
        """
        if lived_ns is not None and lived_ns >= STABLE_NS:
            self._failures = 0
            self._refusals = 0
        if refused or (lived_ns is not None and lived_ns < HASTY_NS):
            self._refusals = min(self._refusals + 1, REFUSALS)
            wait_s = min(FIRST_S * 2.0 ** (self._refusals - 1), REFUSED_LIMIT_S)
            if self._refusals == REFUSALS:
                wait_s = AFTER_REFUSALS_S
        else:
            self._failures = min(self._failures + 1, REFUSALS)
            wait_s = min(FIRST_S * 2.0 ** (self._failures - 1), UNREACHABLE_LIMIT_S)
        return wait_s * (1 - SPREAD * self._random())
