"""One SSRC: which packets count, what is missing, and what its receiver report says."""

from worker.core.identity import Kind
from worker.core.timing import NS_PER_S
from worker.ports import TrackStatistics
from worker.rooms.receive.nack import MissingPackets
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.sequence import SequenceNumbers
from worker.rooms.rtp.packet import RtpPacket
from worker.rooms.rtp.rtcp import ReportBlock, SenderReportPacket

RESTART_RUN = 16
LEAST_ROUND_TRIP_NS = NS_PER_S // 900
"""What a sender beside us shall take the round trip for, a little above 1 ms: Janus counts whole
milliseconds, takes 0 for not known, and then keeps nothing for retransmission."""


class Source:
    """Bookkeeping common to audio and video. Counts into the track's *statistics*."""

    def __init__(
        self,
        first: RtpPacket,
        *,
        clock_hz: int,
        has_nack: bool,
        patience: Patience,
        kind: Kind,
        statistics: TrackStatistics,
    ) -> None:
        self.ssrc = first.ssrc
        self.numbers = SequenceNumbers(first.sequence)
        self.missing = MissingPackets(wants_requests=has_nack, give_up_ns=patience.limit_ns(kind))
        self.is_beyond_repair = False
        """More went missing at once than can be asked for; whoever sees it clears it."""
        self.owes_report = False
        """The sender reported for the first time: from our answer it learns the round trip."""
        self._patience = patience
        self._statistics = statistics
        self._clock_hz = clock_hz
        self._base = first.sequence
        self._late_run = 0
        self._latest_late = 0
        self._received = 0
        self._jitter = 0.0
        self._transit: int | None = None
        self._jitter_timestamp: int | None = None
        self._reported_expected = 0
        self._reported_received = 0
        self._report_middle = 0
        self._report_arrival_ns = 0

    @property
    def has_restarted(self) -> bool:
        """The sender began to count anew; this object is of no use any more."""
        return self.numbers.has_restarted

    def admit(
        self, packet: RtpPacket, arrival_ns: int, *, is_retransmission: bool
    ) -> tuple[int, bool] | None:
        """Unwrapped sequence number, and whether it is the newest; None to drop the packet."""
        numbers, statistics = self.numbers, self._statistics
        if is_retransmission:
            sequence = numbers.unwrap(packet.sequence)
        else:
            sequence = numbers.follow(packet.sequence)
        if sequence is None:
            statistics.packets_discarded += 1
            return None
        newest = numbers.newest
        if not numbers.accept(sequence):
            statistics.packets_duplicated += 1
            return None
        statistics.packets_received += 1
        if not is_retransmission:
            self._received += 1
        if sequence <= newest:
            if sequence in self.missing:
                was_requested = self.missing.arrived(
                    sequence, arrival_ns, is_retransmission=is_retransmission
                )
                if was_requested:
                    self._patience.note_repair(self.missing.round_trip_ns)
                if is_retransmission or was_requested:
                    statistics.packets_recovered += 1
            else:
                if sequence >= self._base:
                    statistics.packets_lost -= 1  # it had been given up
                self._follow_late(sequence)
            return sequence, False
        self._late_run = 0
        if sequence > newest + 1 and not self.missing.notice(newest + 1, sequence, arrival_ns):
            self.is_beyond_repair = True
            statistics.packets_lost += sequence - newest - 1
        if not is_retransmission:
            self._measure_jitter(packet.timestamp, arrival_ns)
        return sequence, True

    def pass_over(self, count: int) -> None:
        """As many packets after the newest came and were of no use; they were never opened."""
        numbers = self.numbers
        for _ in range(count):
            numbers.accept(numbers.newest + 1)
        self._received += count
        self._statistics.packets_received += count
        self._statistics.packets_unopened += count

    def give_up_before(self, sequence: int) -> None:
        """Wait no longer for packets older than *sequence*; they count as lost."""
        self._statistics.packets_lost += self.missing.forget_before(sequence)

    def note_sender_report(self, report: SenderReportPacket, arrival_ns: int) -> None:
        """For the round trip the sender computes from our next report."""
        if not self._report_middle:
            self.owes_report = True
        self._report_middle = report.ntp >> 16 & 0xFFFFFFFF
        self._report_arrival_ns = arrival_ns

    def report(self, now_ns: int) -> ReportBlock:
        """Our report block since the last call (RFC 3550, A.3)."""
        self.owes_report = False
        expected = self.numbers.newest - self._base + 1
        expected_since = expected - self._reported_expected
        received_since = self._received - self._reported_received
        self._reported_expected, self._reported_received = expected, self._received
        lost_since = max(0, expected_since - received_since)
        delay = 0
        if self._report_middle:
            held_ns = max(0, now_ns - self._report_arrival_ns - LEAST_ROUND_TRIP_NS)
            delay = held_ns * 65536 // NS_PER_S
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, lost_since * 256 // expected_since) if expected_since else 0,
            packets_lost=max(-(1 << 23), min(expected - self._received, (1 << 23) - 1)),
            highest_sequence=self.numbers.newest & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last_report=self._report_middle,
            delay_since_report=min(delay, 0xFFFFFFFF),
        )

    def _follow_late(self, sequence: int) -> None:
        """Late packets one after the other and nothing newer: the sender went back a little."""
        self._late_run = self._late_run + 1 if sequence == self._latest_late + 1 else 1
        self._latest_late = sequence
        if self._late_run >= RESTART_RUN:
            self.numbers.has_restarted = True

    def _measure_jitter(self, timestamp: int, arrival_ns: int) -> None:
        """RFC 3550, A.8, once per timestamp: later packets of a frame wait for the pacer."""
        if timestamp == self._jitter_timestamp:
            return
        self._jitter_timestamp = timestamp
        transit = arrival_ns * self._clock_hz // NS_PER_S - timestamp
        if self._transit is not None:
            change = abs((transit - self._transit + 0x80000000 & 0xFFFFFFFF) - 0x80000000)
            if change < self._clock_hz:  # a jump of the sender's clock is not jitter
                self._jitter += (change - self._jitter) / 16
                self._statistics.jitter_ms = 1000 * self._jitter / self._clock_hz
        self._transit = transit
