"""What is known of the clock of one stream: one epoch of one track."""

from dataclasses import dataclass, field

from worker.core.leastdelay import LeastDelay
from worker.core.reportline import ReportLine
from worker.core.timing import NS_PER_S


@dataclass(slots=True)
class StreamClock:
    """State of one stream; the clock map steers `own_ns` and `correction_ns`."""

    clock_rate_hz: int
    first_rtp: int
    last_rtp: int
    last_arrival_ns: int
    unheard_until_ns: int
    line: ReportLine
    own_ns: int
    """Our clock minus nominal media time, slewed; used without reports."""
    least: LeastDelay = field(default_factory=LeastDelay)
    by_reports: bool = False
    correction_ns: int = 0
    """What keeps the map continuous when its base changes; shrinks to zero."""

    def media_ns(self, rtp_timestamp: int) -> int:
        """Nominal time since the stream's first frame."""
        return (rtp_timestamp - self.first_rtp) * NS_PER_S // self.clock_rate_hz

    def is_unheard(self, now_ns: int) -> bool:
        """Whether nothing of it can have been decoded yet, so that it may be stepped."""
        return now_ns < self.unheard_until_ns

    def least_ns(self) -> int:
        """Our clock minus nominal media time, as the promptest arrivals say."""
        return min(prompt.delay_ns for prompt in self.least.prompts())

    def common_ns(self, *, recent: bool = False) -> int:
        """Our clock minus the sender's NTP clock, as the promptest arrivals say.

        Those of the last seconds, or of the last two. Needs an established line.
        """
        prompts = self.least.recent() if recent else self.least.prompts()
        return min(p.arrival_ns - self.line.ntp_ns(p.rtp_timestamp) for p in prompts)
