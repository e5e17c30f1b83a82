"""The promptest arrivals of the last seconds: what the network does when it does not queue."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.timing import NS_PER_S

WINDOW_S = 8
"""Long enough to outlast jitter; at 600 ppm the least delay is at most 5 ms old news."""
RECENT_S = 2
RECENT_ARRIVALS = 20
"""Fewer arrivals than this do not prove that a path has become slower for good."""


@dataclass(slots=True)
class Prompt:
    """The arrival with the least delay within one second."""

    second: int
    rtp_timestamp: int
    arrival_ns: int
    delay_ns: int
    """Arrival minus nominal media time."""
    arrivals: int
    latest_ns: int
    """The greatest such delay within that second."""


class LeastDelay:
    """Keeps one `Prompt` for each of the last seconds in which something arrived."""

    def __init__(self) -> None:
        self._prompts: deque[Prompt] = deque()

    def observe(self, rtp_timestamp: int, media_ns: int, arrival_ns: int) -> bool:
        """Whether the promptest arrivals changed. *media_ns* is the nominal time of the frame."""
        second = arrival_ns // NS_PER_S
        delay_ns = arrival_ns - media_ns
        if self._prompts and second <= self._prompts[-1].second:
            newest = self._prompts[-1]
            newest.arrivals += 1
            if delay_ns > newest.latest_ns:
                newest.latest_ns = delay_ns
            if delay_ns >= newest.delay_ns:
                return False
            newest.rtp_timestamp, newest.arrival_ns = rtp_timestamp, arrival_ns
            newest.delay_ns = delay_ns
            return True
        self._prompts.append(Prompt(second, rtp_timestamp, arrival_ns, delay_ns, 1, delay_ns))
        while self._prompts[0].second <= second - WINDOW_S:
            self._prompts.popleft()
        return True

    def prompts(self) -> Iterable[Prompt]:
        """The promptest arrivals in the window, oldest first; empty before the first arrival."""
        return self._prompts

    def spread_ns(self) -> int:
        """By how much the latest arrival of the window came later than the promptest."""
        prompts = self._prompts
        least_ns = min((prompt.delay_ns for prompt in prompts), default=0)
        return max((prompt.latest_ns for prompt in prompts), default=0) - least_ns

    def recent(self) -> list[Prompt]:
        """Those of the last two seconds before the newest."""
        newest = self._prompts[-1].second if self._prompts else 0
        return [p for p in self._prompts if p.second >= newest - RECENT_S]

    def is_recent_proof(self) -> bool:
        """Whether the recent ones are enough to show what the path is like now.

        Those of a microphone in a pause or of a screen that stands still are not; they only show
        that it is no slower than they were.
        """
        recent = self.recent()
        return len(recent) > RECENT_S and sum(p.arrivals for p in recent) >= RECENT_ARRIVALS

    def forget_before_recent(self) -> None:
        """Drop what is older than the last two seconds: the path is another one now."""
        self._prompts = deque(self.recent())
