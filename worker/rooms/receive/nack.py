"""Which packets of one SSRC are missing, when to ask for them, when to stop waiting."""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.timing import NS_PER_MS

REORDER_GUARD_NS = 5 * NS_PER_MS
"""Wait before the first request; without it slight reordering costs thousands of them."""
RETRY_NS = 40 * NS_PER_MS
ATTEMPTS = 3
MAX_MISSING = 512
NEVER_NS = 1 << 63


@dataclass(slots=True)
class _Missing:
    noticed_ns: int
    next_request_ns: int
    requests: int = 0
    first_request_ns: int = 0


class MissingPackets:
    """Missing sequence numbers (unwrapped) of one SSRC, oldest first."""

    def __init__(self, *, wants_requests: bool, give_up_ns: int) -> None:
        self.next_request_ns = NEVER_NS
        """Nothing is due before; may be early, never late."""
        self._wants_requests = wants_requests
        self._give_up_ns = give_up_ns
        self._missing: dict[int, _Missing] = {}
        self._round_trip_ns = 0

    def __len__(self) -> int:
        return len(self._missing)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._missing

    @property
    def oldest(self) -> int:
        """The oldest missing packet; call only when there is one."""
        return next(iter(self._missing))

    def notice(self, first: int, end: int, now_ns: int) -> bool:
        """[first, end) did not come. False (and nothing noted) when that is too much to repair."""
        if len(self._missing) + end - first > MAX_MISSING:
            return False
        due_ns = now_ns + REORDER_GUARD_NS
        for sequence in range(first, end):
            self._missing[sequence] = _Missing(now_ns, due_ns)
        if self._wants_requests:
            self.next_request_ns = min(self.next_request_ns, due_ns)
        return True

    def notice_holes(self, sequences: Iterable[int], now_ns: int) -> None:
        """Note what is missing among the few packets that came before anybody counted."""
        due_ns = now_ns + REORDER_GUARD_NS
        for sequence in sequences:
            self._missing.setdefault(sequence, _Missing(now_ns, due_ns))
        self._missing = dict(sorted(self._missing.items()))
        if self._wants_requests and self._missing:
            self.next_request_ns = min(self.next_request_ns, due_ns)

    def arrived(self, sequence: int, now_ns: int) -> bool:
        """Strike *sequence* off the list; True when it had been asked for."""
        missing = self._missing.pop(sequence, None)
        if missing is None or missing.requests == 0:
            return False
        # Counted from the first request. When that one was lost the sample is too long, so long
        # samples move the estimate slowly and short ones at once.
        sample_ns = now_ns - missing.first_request_ns
        if self._round_trip_ns == 0 or sample_ns < self._round_trip_ns:
            self._round_trip_ns = sample_ns
        else:
            self._round_trip_ns += (sample_ns - self._round_trip_ns) // 16
        return True

    def due(self, now_ns: int) -> list[int]:
        """Sequence numbers to ask for now, oldest first; they are noted as asked for."""
        if now_ns < self.next_request_ns:
            return []
        retry_ns = self._retry_ns()
        # Later requests could not be answered in time; one more, as the estimate is a mean.
        last_chance_ns = self._give_up_ns - self._round_trip_ns + RETRY_NS
        requests = []
        earliest_ns = NEVER_NS
        for sequence, missing in self._missing.items():
            if missing.next_request_ns <= now_ns:
                requests.append(sequence)
                if missing.requests == 0:
                    missing.first_request_ns = now_ns
                missing.requests += 1
                missing.next_request_ns = now_ns + retry_ns
                if missing.next_request_ns - missing.noticed_ns > last_chance_ns:
                    missing.next_request_ns = NEVER_NS
            earliest_ns = min(earliest_ns, missing.next_request_ns)
        self.next_request_ns = earliest_ns
        return requests

    def _retry_ns(self) -> int:
        """A round trip when several fit before giving up, else blindly often."""
        if ATTEMPTS * self._round_trip_ns > self._give_up_ns:
            return RETRY_NS
        return max(RETRY_NS, self._round_trip_ns)

    def deadline_ns(self) -> int:
        """When the oldest missing packet is to be given up."""
        for missing in self._missing.values():
            return missing.noticed_ns + self._give_up_ns
        return NEVER_NS

    def overdue(self, now_ns: int) -> list[int]:
        """Those that have been waited for long enough; they stay listed."""
        limit_ns = now_ns - self._give_up_ns
        overdue = []
        for sequence, missing in self._missing.items():
            if missing.noticed_ns > limit_ns:
                break
            overdue.append(sequence)
        return overdue

    def forget_before(self, sequence: int) -> int:
        """Stop waiting for everything older than *sequence*; returns how many that were."""
        old = [number for number in self._missing if number < sequence]
        for number in old:
            del self._missing[number]
        return len(old)
