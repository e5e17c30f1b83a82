import random

import pytest

from worker.core.reportline import ReportLine

S = 1_000_000_000
MS = 1_000_000
NTP = 3_900_000_000 * S
DELAY_NS = 30 * MS


def report(line, at_s, *, ntp_step_s=0.0, rtp_step_s=0.0, ppm=0.0, noise_ms=0.0):
    """A report sent at *at_s*: true NTP, RTP of a 48 kHz clock that is off by *ppm*."""
    sent_ns = round(at_s * S)
    ntp_ns = NTP + sent_ns + round(ntp_step_s * S) + round(noise_ms * MS)
    line.observe(ntp_ns, rtp(at_s + rtp_step_s, ppm), sent_ns + DELAY_NS)


def rtp(at_s, ppm=0.0):
    return 5_000_000 + round(at_s * 48_000 * (1 + ppm * 1e-6))


def error_ms(line, at_s, ppm=0.0):
    return (line.ntp_ns(rtp(at_s, ppm)) - NTP - round(at_s * S)) / MS


def test_one_report_is_a_line_at_the_nominal_rate():
    line = ReportLine(48_000)
    assert not line.established

    report(line, 10)

    assert line.established
    assert line.trusted
    assert error_ms(line, 12.5) == pytest.approx(0, abs=0.03)
    assert error_ms(line, 5) == pytest.approx(0, abs=0.03)
    assert line.delay_ns == DELAY_NS - NTP


@pytest.mark.parametrize("ppm", [-600, -50, 0, 600])
def test_the_skew_of_the_media_clock_is_learnt_through_noisy_reports(ppm):
    noise = random.Random(1)
    line = ReportLine(48_000)
    for second in range(0, 300, 3):
        report(line, second, ppm=ppm, noise_ms=noise.uniform(-5, 5))

    assert error_ms(line, 300, ppm) == pytest.approx(0, abs=3)
    assert error_ms(line, 330, ppm) == pytest.approx(0, abs=5)


@pytest.mark.parametrize("noise_ms", [10, 20, 40])
@pytest.mark.parametrize("every_s", [1, 5])
def test_noise_is_not_taken_for_a_clock_that_slips(noise_ms, every_s):
    noise = random.Random(2)
    line = ReportLine(48_000)
    worst_ms = 0.0
    for second in range(0, 1500, every_s):
        report(line, second, noise_ms=noise.uniform(-noise_ms, noise_ms))
        if second > 30 * every_s:
            worst_ms = max(worst_ms, abs(error_ms(line, second + every_s)))
    print(f"worst {worst_ms:.1f} ms")
    assert worst_ms < noise_ms


def test_a_step_of_the_ntp_clock_is_subtracted():
    line = ReportLine(48_000)
    for second in range(20):
        report(line, second)
    for second in range(20, 60):
        report(line, second, ntp_step_s=-7200)

    assert line.trusted
    assert error_ms(line, 60) == pytest.approx(0, abs=0.1)
    assert line.delay_ns == pytest.approx(DELAY_NS - NTP, abs=MS)


def test_a_step_of_the_media_clock_starts_the_line_anew():
    line = ReportLine(48_000)
    for second in range(20):
        report(line, second)
    for second in range(20, 40):
        report(line, second, rtp_step_s=0.4)

    assert line.trusted
    assert error_ms(line, 40.4) == pytest.approx(-400, abs=0.1)


def test_two_contradictions_in_a_row_cost_the_trust_and_good_reports_restore_it():
    line = ReportLine(48_000)
    for second in range(10):
        report(line, second)
    report(line, 10, ntp_step_s=100)
    assert line.trusted
    report(line, 11, ntp_step_s=300)
    assert not line.trusted

    for second in range(12, 16):
        report(line, second)

    assert line.trusted
    assert error_ms(line, 16) == pytest.approx(0, abs=1)


def test_reports_of_one_and_the_same_instant_break_nothing():
    line = ReportLine(48_000)
    for tenth in range(40):
        line.observe(NTP + tenth * 30 * MS, rtp(1), S + tenth * 30 * MS + DELAY_NS)

    assert abs(error_ms(line, 1)) < 1500


def test_a_sender_without_a_clock_is_never_believed():
    line = ReportLine(48_000)

    line.observe(0, rtp(1), S)

    assert not line.established
    assert not line.trusted
