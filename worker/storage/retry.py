"""Asking again: full jitter between 0.1 and 30 s, for as long as asking may help.

There is no limit on attempts: what waits is in the spool, and the spool's limits are what ends a
recording. (Full jitter: every wait is drawn between nothing and a bound that doubles.) Recovery
that somebody waits for has a limit on time, its `Patience`.
"""

import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from worker.core.timing import NS_PER_S
from worker.errors import DestinationError
from worker.ports import Clock

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 30.0
LONGEST_REQUESTED_WAIT_S = 300.0
"""A store that asks for more (Retry-After) is asked again after this."""

T = TypeVar("T")


def longest_wait_s(failures: int) -> float:
    """Upper bound of the wait after so many failures in a row, at least one."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 16))


class Patience:
    """How long a store may fail without a break, whatever it is asked for.

    Shared by all who ask it: a store that was away for so long is not waited for once per file.
    """

    def __init__(self, limit_s: float = math.inf) -> None:
        self._limit_s = limit_s
        self._failing_since_ns: int | None = None

    def succeeded(self) -> None:
        self._failing_since_ns = None

    def has_ended(self, *, began_ns: int, now_ns: int) -> bool:
        """Whether to stop asking, after an attempt that failed."""
        if self._failing_since_ns is None:
            self._failing_since_ns = began_ns
        return now_ns - self._failing_since_ns >= self._limit_s * NS_PER_S


class Retry:
    """Repeats attempts. One for everything that goes to one store."""

    def __init__(self, clock: Clock, random: Random, patience: Patience | None = None) -> None:
        """Without *patience* there is no end to it."""
        self._clock = clock
        self._random = random
        self._patience = patience or Patience()

    async def until_done(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_failure: Callable[[DestinationError], None] = lambda _: None,
    ) -> T:
        """The result of the first *attempt* that succeeds.

        Raises the `DestinationError` that says it will not help to ask again, or the last one when
        patience has ended; *on_failure* hears of all that may pass.
        """
        failures = 0
        while True:
            began_ns = self._clock.now_ns()
            try:
                result = await attempt()
            except DestinationError as exc:
                if not exc.retryable:
                    raise
                failures += 1
                on_failure(exc)
                if self._patience.has_ended(began_ns=began_ns, now_ns=self._clock.now_ns()):
                    raise
                wait_s = self._wait_s(failures, exc.retry_after_s)
            else:
                self._patience.succeeded()
                return result
            await self._clock.sleep_until_ns(self._clock.now_ns() + round(wait_s * NS_PER_S))

    def _wait_s(self, failures: int, requested_s: float | None) -> float:
        jitter_s = self._random.uniform(0, longest_wait_s(failures))
        # The jitter comes on top, lest everybody who was told the same comes at once.
        return jitter_s + min(requested_s or 0.0, LONGEST_REQUESTED_WAIT_S)
