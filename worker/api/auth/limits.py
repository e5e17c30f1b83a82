"""How often an account may call each group of operations, and a stranger's address anything.

Token buckets: a limit of n per time allows n at once, then as many as flow back. Source of the
documented rates: API reference section 9, throttling.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from worker.api.auth.refusals import TooManyRequests
from worker.api.operation import Group

CAPACITY = 10_000
"""About 2 MB of buckets for accounts, and as many for addresses."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int

    @property
    def per_ms(self) -> float:
        """Requests that flow back each millisecond."""
        return self.requests / self.seconds / 1000


DOCUMENTED: Mapping[Group, Rate] = {
    Group.SETUP: Rate(60, 60),
    Group.JOBS: Rate(10, 1),
    Group.ROOMS: Rate(60, 60),
    Group.BUCKETS: Rate(2, 1),
    Group.STATISTICS: Rate(30, 60),
    Group.IDENTITY: Rate(60, 60),
}
"""What accounts get by default. That of identity is ours."""

STRANGERS = Rate(60, 60)
"""Failures to authenticate, and logins, of one address."""


class Buckets:
    """Token buckets by key, full at first.

    Bounded; overflow policy `least_recently_used_forgotten`: a bucket that is forgotten is full
    again.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._levels: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: Hashable, rate: Rate, now_unix_ms: int) -> int:
        """Whole seconds until there is one in the bucket; 0 when there is."""
        missing = 1 - self._level(key, rate, now_unix_ms)
        return max(0, math.ceil(missing / rate.per_ms / 1000))

    def take(self, key: Hashable, rate: Rate, now_unix_ms: int) -> None:
        """Take one that is there."""
        self._levels[key] = (self._level(key, rate, now_unix_ms) - 1, now_unix_ms)
        self._levels.move_to_end(key)
        if len(self._levels) > self._capacity:
            self._levels.popitem(last=False)

    def _level(self, key: Hashable, rate: Rate, now_unix_ms: int) -> float:
        level, then_unix_ms = self._levels.get(key, (float(rate.requests), now_unix_ms))
        # A clock that is set back gives nothing, and takes nothing.
        gained = max(0, now_unix_ms - then_unix_ms) * rate.per_ms
        return min(rate.requests, level + gained)


class Limits:
    """Raises `TooManyRequests` for who comes too often."""

    def __init__(
        self,
        *,
        unix_ms: Callable[[], int],
        rates: Mapping[Group, Rate] = DOCUMENTED,
        strangers: Rate = STRANGERS,
    ) -> None:
        self._unix_ms = unix_ms
        self._rates = rates
        self._strangers = strangers
        self._accounts = Buckets()
        self._addresses = Buckets()

    def count(self, account_id: str, group: Group) -> None:
        """One request of an account; a refused one does not count."""
        self._count(self._accounts, (account_id, group), self._rates[group])

    def count_stranger(self, source: str) -> None:
        """One request from *source* of nobody we know."""
        self._count(self._addresses, source, self._strangers)

    def check_stranger(self, source: str) -> None:
        """Whether `count_stranger` would let one through; nothing is counted."""
        self._check(self._addresses, source, self._strangers, self._unix_ms())

    def _count(self, buckets: Buckets, key: Hashable, rate: Rate) -> None:
        now_unix_ms = self._unix_ms()
        self._check(buckets, key, rate, now_unix_ms)
        buckets.take(key, rate, now_unix_ms)

    @staticmethod
    def _check(buckets: Buckets, key: Hashable, rate: Rate, now_unix_ms: int) -> None:
        wait_s = buckets.wait_s(key, rate, now_unix_ms)
        if wait_s:
            raise TooManyRequests(wait_s)
