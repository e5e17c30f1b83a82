"""Transport-wide congestion feedback: which packets of one transport came, and when.

draft-holmer-rmcat-transport-wide-cc-extensions-01 as browsers implement it: the sender numbers
all packets of a transport in a header extension, and ten times a second hears when each came.
"""

from worker.core.timing import NS_PER_MS
from worker.rooms.rtp.transport_cc import TICK_NS, build_transport_feedback

INTERVAL_NS = 100 * NS_PER_MS
MAX_NOTED = 8192
"""Arrivals between two feedbacks (80,000 packets a second); more are not reported."""
KEPT = 2048
"""Reported arrivals that are repeated when an older packet comes after its report."""
MAX_SPAN = 4096
"""Numbers reported at once; a step beyond is a sender that counts anew."""
MAX_MESSAGE_PACKETS = 384
"""Per message: with a two-byte difference each they stay below 1000 bytes."""


class TransportFeedback:
    """Bookkeeping of one transport. `note` is for every packet and does next to nothing."""

    def __init__(self, sender_ssrc: int) -> None:
        self._sender_ssrc = sender_ssrc
        self._noted: list[tuple[int, int]] = []
        self._arrivals: dict[int, int] = {}
        """Unwrapped number to arrival, in units of 250 us."""
        self._next: int | None = None
        """The first number that was not reported on yet."""
        self._count = 0
        self._base = 0
        self.due_ns = 0
        """When the next feedback may go out."""

    def note(self, number: int, arrival_ns: int) -> None:
        """A packet with the transport-wide *number* (16 bits) came."""
        if len(self._noted) < MAX_NOTED:
            self._noted.append((number, arrival_ns))

    def poll(self, media_ssrc: int, now_ns: int) -> list[bytes]:
        """RTCP packets about what came since the last ones, when they are due.

        *media_ssrc* is any of the transport's: the format wants one.
        """
        if now_ns < self.due_ns or not self._noted:
            return []
        self.due_ns = now_ns + INTERVAL_NS
        first, last = self._take()
        messages = []
        while first <= last:
            statuses = self._arrivals_from(first, last)
            self._base = next((at for at in statuses if at is not None), self._base)
            messages.append(
                build_transport_feedback(
                    sender_ssrc=self._sender_ssrc,
                    media_ssrc=media_ssrc,
                    count=self._count,
                    first=first,
                    arrivals=statuses,
                    base=self._base,
                )
            )
            self._count += 1
            first += len(statuses)
        self._next = last + 1
        self._forget_before(last + 1 - KEPT)
        return messages

    def _take(self) -> tuple[int, int]:
        """Take over what was noted; returns the first and last number to report on."""
        noted, self._noted = self._noted, []
        arrivals = self._arrivals
        newest = (self._next if self._next is not None else noted[0][0]) - 1
        first = newest + 1 if self._next is not None else noted[0][0]
        for number, arrival_ns in noted:
            step = (number - newest + 0x8000 & 0xFFFF) - 0x8000
            if step < -KEPT or step > MAX_SPAN:
                arrivals.clear()
                newest = first = number
            else:
                number = newest + step
                newest = max(newest, number)
                first = min(first, number)
            arrivals.setdefault(number, arrival_ns // TICK_NS)
        return max(first, newest + 1 - MAX_SPAN), newest

    def _arrivals_from(self, first: int, last: int) -> list[int | None]:
        """What one message can tell: at most 384 arrivals, and none too far from the one before."""
        statuses: list[int | None] = []
        previous: int | None = None
        for number in range(first, min(last + 1, first + MAX_MESSAGE_PACKETS)):
            arrival = self._arrivals.get(number)
            if arrival is not None:
                if previous is not None and not -0x8000 <= arrival - previous <= 0x7FFF:
                    break
                previous = arrival
            statuses.append(arrival)
        return statuses

    def _forget_before(self, number: int) -> None:
        if len(self._arrivals) > 2 * KEPT:
            self._arrivals = {key: at for key, at in self._arrivals.items() if key >= number}
