"""Who failed too often must wait, and nobody else.

A failure counts for a name *and* the address it came from: a stranger who guesses at a tenant's
key locks out the stranger.
"""

from collections import OrderedDict
from dataclasses import dataclass

MOST_FAILURES = 5
"""One after the other; the next one locks (API reference section 9)."""
LOCK_MS = 5 * 60 * 1000
CAPACITY = 10_000
"""About 2 MB of names and addresses."""


@dataclass(slots=True)
class _Record:
    failures: int
    last_unix_ms: int


class Lockout:
    """Failures in a row by name and address.

    Bounded; overflow policy `oldest_forgotten`: who wants to be forgotten has to fail from
    thousands of addresses, or against thousands of names at a rate that `limits` does not allow.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def is_locked(self, name: str, source: str, now_unix_ms: int) -> bool:
        """Whether *name* must not even be tried from *source*; trying does not prolong it."""
        record = self._current(name, source, now_unix_ms)
        return record is not None and record.failures > MOST_FAILURES

    def failed(self, name: str, source: str, now_unix_ms: int) -> None:
        """Count one more."""
        record = self._current(name, source, now_unix_ms)
        failures = 1 if record is None else record.failures + 1
        self._records[name, source] = _Record(failures, now_unix_ms)
        self._records.move_to_end((name, source))
        if len(self._records) > self._capacity:
            self._records.popitem(last=False)

    def succeeded(self, name: str, source: str) -> None:
        """What failed before no longer matters."""
        self._records.pop((name, source), None)

    def _current(self, name: str, source: str, now_unix_ms: int) -> _Record | None:
        record = self._records.get((name, source))
        # A clock that is set back must not lock anybody for longer.
        if record is None or not 0 <= now_unix_ms - record.last_unix_ms < LOCK_MS:
            return None
        return record
