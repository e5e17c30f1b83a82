"""RTP timestamps of one stream on its sender's NTP clock, learnt from sender reports.

Single reports are noisy by milliseconds and some senders write nonsense, so the line is fitted
through the last reports, and reports whose NTP does not run with their RTP cost it its trust.
"""

from collections import deque

from worker.core.linefit import Line, Point, line_of, noise_of, steep_line_of
from worker.core.timing import NS_PER_MS, NS_PER_S

REPORTS = 24
"""How many reports the line is fitted through: half a minute to two minutes."""
SLOPE_SPAN_S = 10.0
"""Below this span the slope of noisy reports says less than the nominal clock rate."""
SLOPE_REPORTS = 5
MAX_SLOPE = 1500e-6
"""No quartz is further off; a steeper fit is noise, as long as the reports stay with it."""
TAIL_S = 3.0
ASTRAY_NS = 8 * NS_PER_MS
"""If all reports of the last three seconds, two at least, lie to one side of the line, by more
than this on average, they have left it: microphones of computers that are too busy lose samples."""
ASTRAY_NOISE = 1.5
"""... and by more than this times what they stray from each other."""
TOLERANCE_NS = 50 * NS_PER_MS
"""Reports of honest senders stray this far: they extrapolate from the last captured frame."""
TOLERANCE_SLOPE = 2000e-6
SAME_CLOCK_NS = 150 * NS_PER_MS
"""Reports of one NTP clock agree in arrival minus NTP up to the jitter of the network."""


class ReportLine:
    """NTP instants of one stream's RTP timestamps; usable once `established`."""

    def __init__(self, clock_rate_hz: int) -> None:
        self._rate_hz = clock_rate_hz
        self._first_rtp = 0
        self._first_ntp_ns = 0
        self._step_ns = 0
        self._points: deque[Point] = deque(maxlen=REPORTS)
        self._delays_ns: deque[int] = deque(maxlen=8)
        self._line = Line(0.0, 0.0)
        """How far NTP is ahead of nominal media time, ns, by media time, s."""
        self._strikes = 0
        self._good = 0
        self._latest = 0, 0
        """NTP and RTP of the newest report that was used."""
        self._before: tuple[int, int] | None = None
        """NTP and RTP of the report before the line was started anew: a clock that leaves it once
        more at the same pace has not jumped but slips."""
        self.last_arrival_ns = 0

    @property
    def established(self) -> bool:
        return bool(self._points)

    @property
    def trusted(self) -> bool:
        """False while the reports contradict themselves.

        One contradiction is forgiven to a line that was confirmed before: clocks get set.
        """
        return self._strikes < (4 if self._good >= 2 else 2)

    @property
    def delay_ns(self) -> int:
        """Least arrival minus NTP of the last reports: equal for streams of one NTP clock."""
        return min(self._delays_ns)

    def observe(self, ntp_ns: int, rtp_timestamp: int, arrival_ns: int) -> None:
        """Take one report in.

        A step of the NTP clock is subtracted, so that the line goes on; a step of the RTP clock
        against NTP, or nonsense for the second time, starts it anew. RFC 3550 6.4.1: NTP zero
        means the sender has no clock.
        """
        self.last_arrival_ns = arrival_ns
        if ntp_ns <= 0:
            self._strike()
            return
        if not self._points:
            self._start(ntp_ns, rtp_timestamp, arrival_ns)
            return
        settled_ns = ntp_ns - self._step_ns
        error_ns = settled_ns - self.ntp_ns(rtp_timestamp)
        if abs(error_ns) <= self._tolerance_ns(rtp_timestamp):
            self._good += 1
            self._before = None
            self._strikes = max(0, self._strikes - 1)
        elif self._is_slipping(settled_ns, rtp_timestamp, arrival_ns):
            if self._before is not None:
                self._points.appendleft(self._point(*self._before))
                self._before = None
        else:
            self._strike()
            if not self.trusted:
                self._step_ns = 0
                self._start(ntp_ns, rtp_timestamp, arrival_ns)
                return
            if abs(arrival_ns - settled_ns - self.delay_ns) <= SAME_CLOCK_NS:
                self._start(settled_ns, rtp_timestamp, arrival_ns, before=self._latest)
                return
            self._step_ns += error_ns
            settled_ns -= error_ns
        self._delays_ns.append(arrival_ns - settled_ns)
        self._points.append(self._point(settled_ns, rtp_timestamp))
        self._latest = settled_ns, rtp_timestamp
        self._fit()

    def ntp_ns(self, rtp_timestamp: int) -> int:
        """The sender's NTP instant of *rtp_timestamp*, which may lie between or after reports."""
        deviation_ns = self._line.at(self._seconds(rtp_timestamp))
        return self._first_ntp_ns + self._media_ns(rtp_timestamp) + round(deviation_ns)

    def _is_slipping(self, ntp_ns: int, rtp_timestamp: int, arrival_ns: int) -> bool:
        """Whether the media clock leaves the line at a steady pace, while NTP goes on as it did."""
        if abs(arrival_ns - ntp_ns - self.delay_ns) > TOLERANCE_NS:
            return False
        before = [] if self._before is None else [self._point(*self._before)]
        reports = [*before, *self._points, self._point(ntp_ns, rtp_timestamp)]
        return steep_line_of(reports) is not None

    def _point(self, ntp_ns: int, rtp_timestamp: int) -> Point:
        deviation_ns = ntp_ns - self._first_ntp_ns - self._media_ns(rtp_timestamp)
        return self._seconds(rtp_timestamp), float(deviation_ns)

    def _start(
        self,
        ntp_ns: int,
        rtp_timestamp: int,
        arrival_ns: int,
        *,
        before: tuple[int, int] | None = None,
    ) -> None:
        self._first_ntp_ns, self._first_rtp = ntp_ns, rtp_timestamp
        self._latest = ntp_ns, rtp_timestamp
        self._before = before
        self._points.clear()
        self._points.append((0.0, 0.0))
        self._delays_ns.clear()
        self._delays_ns.append(arrival_ns - ntp_ns)
        self._line = Line(0.0, 0.0)

    def _tolerance_ns(self, rtp_timestamp: int) -> float:
        since_last_s = abs(self._seconds(rtp_timestamp) - self._points[-1][0])
        return TOLERANCE_NS + TOLERANCE_SLOPE * since_last_s * NS_PER_S

    def _strike(self) -> None:
        self._strikes = min(self._strikes + 2, 6)

    def _media_ns(self, rtp_timestamp: int) -> int:
        return (rtp_timestamp - self._first_rtp) * NS_PER_S // self._rate_hz

    def _seconds(self, rtp_timestamp: int) -> float:
        return (rtp_timestamp - self._first_rtp) / self._rate_hz

    def _fit(self) -> None:
        points = list(self._points)
        if len(points) < SLOPE_REPORTS or points[-1][0] - points[0][0] < SLOPE_SPAN_S:
            recent = [y for _, y in points][-4:]
            self._line = Line(0.0, sum(recent) / len(recent))
        else:
            self._line = line_of(points, MAX_SLOPE * NS_PER_S)
        if self._is_left(points):
            self._line = steep_line_of(points) or self._line

    def _is_left(self, points: list[Point]) -> bool:
        """Whether the latest reports all lie off to one side."""
        count = max(2, sum(x > points[-1][0] - TAIL_S for x, _ in points))
        errors = [y - self._line.at(x) for x, y in points[-count:]]
        if min(errors) <= 0 <= max(errors):
            return False
        error_ns = abs(sum(errors)) / len(errors)
        return error_ns > ASTRAY_NS and error_ns > ASTRAY_NOISE * noise_of(points)
