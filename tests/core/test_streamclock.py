import pytest

from worker.core.reportline import ReportLine
from worker.core.streamclock import StreamClock

S = 1_000_000_000
MS = 1_000_000


def stream():
    clock = StreamClock(
        clock_rate_hz=90_000,
        first_rtp=900_000,
        last_rtp=900_000,
        last_arrival_ns=5 * S,
        unheard_until_ns=5 * S + 300 * MS,
        line=ReportLine(90_000),
        own_ns=5 * S,
    )
    for index in range(100):
        rtp = 900_000 + index * 3000
        delay_ns = (40 if index % 7 else 25) * MS
        clock.least.observe(rtp, clock.media_ns(rtp), 5 * S + clock.media_ns(rtp) + delay_ns)
    return clock


def test_media_time_counts_from_the_first_frame_in_both_directions():
    assert stream().media_ns(900_000 + 90_000) == S
    assert stream().media_ns(900_000 - 45_000) == -S // 2


def test_a_stream_is_unheard_until_it_can_have_been_decoded():
    assert stream().is_unheard(5 * S + 299 * MS)
    assert not stream().is_unheard(5 * S + 300 * MS)


def test_the_promptest_arrivals_tie_it_to_our_clock():
    assert stream().least_ns() == 5 * S + 25 * MS


@pytest.mark.parametrize("recent", [False, True])
def test_with_reports_they_tie_the_senders_clock_to_ours(recent):
    clock = stream()
    clock.line.observe(1000 * S, 900_000, 5 * S + 10 * MS)

    assert clock.common_ns(recent=recent) == pytest.approx(-995 * S + 25 * MS, abs=1000)
