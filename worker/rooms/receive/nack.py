"""Which packets of one SSRC are missing, when to ask for them, when to stop waiting."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.timing import NS_PER_MS
from worker.rooms.receive.patience import ATTEMPTS

REORDER_GUARD_NS = 5 * NS_PER_MS
"""Wait before the first request; without it slight reordering costs thousands of them."""
RETRY_NS = 40 * NS_PER_MS
SAMPLES = 16
"""Answers the round trip is the least of: at 20 % loss both ways one in 27 million is all too long,
and a path that became longer is noticed within as many repairs."""
HOPELESS_NS = 250 * NS_PER_MS
HOPELESS_ROUND_TRIPS = 2.5
"""By then a request has been repeated in vain; a keyframe may be quicker than the next one."""
UNREPAIRABLE_NS = 60 * NS_PER_MS
"""What nobody can be asked for is not merely late after this long."""
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
        self.give_up_ns = give_up_ns
        """How long a packet is waited for; may be changed at any time."""
        self.round_trip_ns = 0
        """From a request to its answer; 0 before the first answer."""
        self._wants_requests = wants_requests
        self._missing: dict[int, _Missing] = {}
        self._samples_ns: deque[int] = deque(maxlen=SAMPLES)
        self._has_rtx = False

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

    def arrived(self, sequence: int, now_ns: int, *, is_retransmission: bool = False) -> bool:
        """Strike *sequence* off the list; True when that answers a request.

        Without RTX an answer cannot be told from the late original, and counts as one.
        """
        missing = self._missing.pop(sequence, None)
        if missing is None or missing.requests == 0:
            return False
        if is_retransmission:
            self._has_rtx = True
        elif self._has_rtx:
            return False
        # Counted from the first request; where that one was lost the sample is too long.
        self._samples_ns.append(now_ns - missing.first_request_ns)
        self.round_trip_ns = min(self._samples_ns)
        return True

    def due(self, now_ns: int) -> list[int]:
        """Sequence numbers to ask for now, oldest first; they are noted as asked for."""
        if now_ns < self.next_request_ns:
            return []
        retry_ns = self._retry_ns()
        # Later requests could not be answered in time; one more, as the estimate is a mean.
        last_chance_ns = self.give_up_ns - self.round_trip_ns + RETRY_NS
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
        """A round trip, or less where fewer than three requests would fit before giving up."""
        spare_ns = (self.give_up_ns - self.round_trip_ns) // (ATTEMPTS - 1)
        return max(RETRY_NS, min(self.round_trip_ns, spare_ns))

    def is_hopeless(self, now_ns: int) -> bool:
        """Whether the oldest missing packet has been asked for in vain for long.

        It is still waited for until its deadline.
        """
        if not self._missing:
            return False
        waited_ns = now_ns - self._missing[self.oldest].noticed_ns
        if not self._wants_requests:
            return waited_ns >= UNREPAIRABLE_NS
        return waited_ns >= max(HOPELESS_NS, HOPELESS_ROUND_TRIPS * self.round_trip_ns)

    def deadline_ns(self) -> int:
        """When the oldest missing packet is to be given up."""
        for missing in self._missing.values():
            return missing.noticed_ns + self.give_up_ns
        return NEVER_NS

    def overdue(self, now_ns: int) -> list[int]:
        """Those that have been waited for long enough; they stay listed."""
        limit_ns = now_ns - self.give_up_ns
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
