"""When to ask a publisher for a keyframe."""

from worker.core.timing import NS_PER_MS, NS_PER_S

REQUEST_INTERVAL_NS = NS_PER_S
"""Requests of one track are at least this far apart, whoever wants them."""
PATIENT_INTERVAL_NS = 5 * NS_PER_S
"""After `URGENT_REQUESTS` in vain: the publisher is paused, or sends what can't be decoded."""
URGENT_REQUESTS = 10
START_GRACE_NS = 200 * NS_PER_MS
"""A new stream normally begins with a keyframe; asking at once would make it send two."""


class KeyframeRequests:
    """Merges the reasons to ask into at most one request a second; the first goes out at once."""

    def __init__(self) -> None:
        self._needed_since_ns: int | None = None
        self._is_asked = False
        self._last_request_ns: int | None = None
        self._unanswered = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a keyframe."""
        return self._needed_since_ns is None and not self._is_asked

    def need(self, since_ns: int) -> None:
        """Nothing can be shown from *since_ns* on until a keyframe comes; may be repeated."""
        if self._needed_since_ns is None or since_ns < self._needed_since_ns:
            self._needed_since_ns = since_ns

    def satisfied(self) -> None:
        """A keyframe came, which serves everybody who waits."""
        self._needed_since_ns = None
        self._is_asked = False
        self._unanswered = 0

    def withdraw(self) -> None:
        """What was missing came after all; who asked by `ask` still waits."""
        self._needed_since_ns = None
        if not self._is_asked:
            self._unanswered = 0

    def put_off(self, until_ns: int) -> None:
        """What is needed may come by itself up to *until_ns*; what was in vain counts no more."""
        if self._needed_since_ns is not None:
            self._needed_since_ns = max(self._needed_since_ns, until_ns)
        self._unanswered = 0

    def ask(self) -> None:
        """Somebody downstream wants one."""
        self._is_asked = True

    def due_ns(self) -> int | None:
        """When the next request may go out; None when nobody needs one."""
        if self.is_idle:
            return None
        wanted_ns = 0 if self._is_asked else self._needed_since_ns or 0
        if self._last_request_ns is None:
            return wanted_ns
        is_urgent = self._is_asked or self._unanswered < URGENT_REQUESTS
        interval_ns = REQUEST_INTERVAL_NS if is_urgent else PATIENT_INTERVAL_NS
        return max(wanted_ns, self._last_request_ns + interval_ns)

    def take(self, now_ns: int) -> bool:
        """Whether a request must go out now; it is noted as sent."""
        due_ns = self.due_ns()
        if due_ns is None or due_ns > now_ns:
            return False
        self._is_asked = False
        self._last_request_ns = now_ns
        self._unanswered += 1
        return True
