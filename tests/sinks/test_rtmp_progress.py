"""Stalls as numbers: what arrived, what did not, and for how long."""

import pytest

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.sinks.rtmp_backoff import Backoff
from worker.sinks.rtmp_pace import ALLOWANCE_NS, Pace
from worker.sinks.rtmp_progress import TRUSTED_AFTER, Flow, Progress

WINDOW = 1_000
RATE = 4_000
"""Bytes a second of the stream; it is sent 100 ms at a time."""


class Line:
    """A connection in numbers: time, bytes sent, and who confirms them."""

    def __init__(self, *, acknowledges_every: int = WINDOW) -> None:
        self.now_ms = 0
        self.sent = 0
        self.progress = Progress(0, window_bytes=WINDOW)
        self.kernel_takes = True
        self.server_reads = True
        self._every = acknowledges_every
        self._read = 0
        self._acknowledged = 0
        self._kernel = 0

    def run(self, seconds: float, *, sending: bool = True) -> list[Flow]:
        flows = []
        for _ in range(round(seconds * 10)):
            self.now_ms += 100
            if sending:
                self.sent += RATE // 10
                self.progress.sent(self.sent, self.now_ms)
            if self.kernel_takes:
                self._kernel = self.sent
            if self.server_reads:
                self._read = self._kernel
            while self._read - self._acknowledged >= self._every:
                self._acknowledged += self._every
                self.progress.acknowledged(self._acknowledged & 0xFFFF_FFFF)
            queued = self.sent - self._kernel
            flows.append(self.progress.look(self.now_ms * NS_PER_MS, queued_bytes=queued))
        return flows


def test_a_server_that_keeps_up_is_never_stalled():
    assert set(Line().run(60)) == {Flow.OPEN}


def test_a_server_that_stops_reading_is_noticed_though_the_kernel_takes_all():
    line = Line()
    line.run(10)
    line.server_reads = False
    flows = line.run(20)

    stalled_s = flows.index(Flow.STALLED) / 10
    assert 2.0 <= stalled_s <= 2.7, "two seconds of media and what is not acknowledged yet anyway"
    assert flows.index(Flow.DEAD) / 10 == pytest.approx(10.4, abs=0.4)


def test_a_stalled_server_goes_on_when_most_has_arrived():
    line = Line()
    line.run(10)
    line.server_reads = False
    assert line.run(3)[-1] is Flow.STALLED
    line.server_reads = True
    assert line.run(0.1) == [Flow.OPEN]


def test_a_full_socket_is_noticed_without_any_acknowledgement():
    line = Line(acknowledges_every=10**9)
    assert set(line.run(10)) == {Flow.OPEN}
    line.kernel_takes = False
    flows = line.run(11)

    assert flows.index(Flow.STALLED) / 10 == pytest.approx(2.1, abs=0.11)
    assert flows.index(Flow.DEAD) / 10 == pytest.approx(10, abs=0.11)


def test_a_little_that_does_not_arrive_for_five_seconds_is_a_stall_too():
    line = Line(acknowledges_every=10**9)
    line.run(10)
    line.kernel_takes = False
    line.run(0.5)
    flows = line.run(10, sending=False)

    assert flows.index(Flow.STALLED) / 10 == pytest.approx(4.5, abs=0.2)
    assert flows[-1] is Flow.DEAD


def test_silence_of_our_own_is_no_stall():
    line = Line()
    line.run(10)

    assert set(line.run(30, sending=False)) == {Flow.OPEN}


@pytest.mark.parametrize("every", [50_000, 1_000_000])
def test_a_server_that_acknowledges_seldom_is_not_taken_for_stalled(every):
    assert set(Line(acknowledges_every=every).run(300)) == {Flow.OPEN}


def test_first_acknowledgements_prove_nothing():
    progress = Progress(0, window_bytes=WINDOW)
    for number in range(1, TRUSTED_AFTER):
        progress.acknowledged(number * 10)
    progress.sent(1_000_000, 0)
    progress.sent(2_000_000, 3_000)

    assert progress.look(NS_PER_S, queued_bytes=0) is Flow.OPEN


def test_a_counter_that_wraps_or_starts_again_is_followed():
    progress = Progress(0, window_bytes=WINDOW)
    sent = 0
    for sequence in (2**31, 2**32 - 500, 500, 1_500, 0, 1_000, 2_000):
        sent += 2**31
        progress.sent(sent, 0)
        progress.acknowledged(sequence)
        assert progress.look(0, queued_bytes=0) is Flow.OPEN


def test_after_a_gap_sending_is_at_most_twice_as_fast_as_real_time():
    pace = Pace(0)
    now_ns, time_ms = 0, 0
    for _ in range(400):  # a tick every 50 ms, as many packets of 20 ms as it allows
        while pace.allows(now_ns):
            pace.sent(time_ms, now_ns)
            time_ms += 20
        now_ns += 50 * NS_PER_MS
    allowance_ms = 2 * ALLOWANCE_NS // NS_PER_MS

    assert time_ms == pytest.approx(2 * now_ns / NS_PER_MS, abs=allowance_ms + 100)


def test_media_that_was_dropped_costs_no_time():
    pace = Pace(0)
    pace.sent(0, 0)
    pace.sent(60_000, 0)

    assert pace.allows(0)


def waits(backoff: Backoff, count: int, **failure) -> list[float]:
    return [backoff.failed(**failure) for _ in range(count)]


def test_a_server_that_is_gone_is_looked_for_every_four_seconds_at_most():
    assert waits(Backoff(lambda: 0.0), 6, refused=False) == [1, 2, 4, 4, 4, 4]


def test_a_server_that_says_no_is_asked_once_a_minute_in_the_end():
    backoff = Backoff(lambda: 0.0)

    assert waits(backoff, 12, refused=True) == [1, 2, 4, 8, 16, 30, 30, 30, 30, 60, 60, 60]
    assert waits(Backoff(lambda: 0.999), 2000, refused=True)[-1] > 30


def test_a_connection_lost_at_once_was_a_no():
    backoff = Backoff(lambda: 0.0)

    assert waits(backoff, 4, refused=False, lived_ns=NS_PER_S) == [1, 2, 4, 8]


def test_after_ten_seconds_of_success_waiting_begins_anew():
    backoff = Backoff(lambda: 0.0)
    waits(backoff, 12, refused=True)
    waits(backoff, 12, refused=False)

    assert backoff.failed(refused=False, lived_ns=5 * NS_PER_S) == 4
    assert backoff.failed(refused=False, lived_ns=10 * NS_PER_S) == 1
    assert backoff.failed(refused=True) == 1


def test_jitter_only_shortens():
    assert waits(Backoff(lambda: 0.5), 3, refused=False) == [0.9, 1.8, 3.6]
