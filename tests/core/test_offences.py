import pytest

from worker.core.budget import Budget
from worker.core.offences import (
    BURST_S,
    FORGIVEN_NS,
    MAX_FRAME_BYTES,
    MUTE_NS,
    MUTES,
    STRIKES,
    STRIKES_WITHIN_NS,
    Allowance,
    Conduct,
    Offence,
)
from worker.core.timing import NS_PER_S as S


def sent(fps: float, kbps: float, seconds: float) -> list[Offence | None]:
    """What an allowance says of each frame of an even stream."""
    allowance = Allowance()
    size_bytes = round(kbps * 125 / fps)
    return [
        allowance.exceeded_by(size_bytes, round(number * S / fps))
        for number in range(round(fps * seconds))
    ]


def first(offences: list[Offence | None]) -> int | None:
    return next((n for n, offence in enumerate(offences) if offence is not None), None)


def offend(conduct: Conduct, at_ns: int, times: int = STRIKES) -> list[bool]:
    return [conduct.strike(Offence.UNDECODABLE, at_ns + n) for n in range(times)]


# --- what may be sent -----------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "kbps"), [(60, 4000), (30, 15_900), (60.5, 8000), (5, 15_000)])
def test_an_honest_stream_may_go_on_for_ever(fps: float, kbps: float) -> None:
    assert set(sent(fps, kbps, 120)) == {None}


def test_five_seconds_that_arrive_at_once_are_no_offence() -> None:
    allowance = Allowance()
    for number in range(300):
        assert allowance.exceeded_by(30_000, S + number) is None


def test_twice_the_bitrate_is_noticed_after_as_many_seconds_as_may_come_at_once() -> None:
    offences = sent(30, 32_000, 10)

    assert first(offences) == pytest.approx(30 * BURST_S, abs=30)
    assert offences[-1] is Offence.TOO_MUCH_DATA
    # Half of what comes is let through: what is refused takes nothing.
    refused = sum(offence is not None for offence in offences[200:])
    assert refused == pytest.approx(len(offences[200:]) / 2, abs=3)


def test_120_frames_a_second_are_too_many() -> None:
    offences = sent(120, 2000, 10)

    assert first(offences) == pytest.approx(120 * BURST_S * 66 / (120 - 66), abs=15)
    assert Offence.TOO_MANY_FRAMES in offences


def test_a_frame_of_a_megabyte_is_the_largest() -> None:
    assert Allowance().exceeded_by(MAX_FRAME_BYTES, 0) is None
    assert Allowance().exceeded_by(MAX_FRAME_BYTES + 1, 0) is Offence.FRAME_TOO_LARGE


def test_a_budget_never_gives_more_than_its_burst_and_its_rate() -> None:
    budget = Budget(100, 2)
    given = sum(budget.take(1, tick * S // 1000) for tick in range(10_000))

    assert 1195 <= given <= 1201, "200 at once, and 100 in each of ten seconds"


# --- what becomes of offenders --------------------------------------------------------------


def test_the_fifth_strike_mutes_for_half_a_minute() -> None:
    conduct = Conduct()

    assert offend(conduct, 0) == [False] * 4 + [True]
    assert conduct.is_muted(4)
    assert conduct.is_muted(4 + MUTE_NS - 1)
    assert not conduct.is_muted(4 + MUTE_NS)
    assert conduct.mutes == 1 and not conduct.is_dropped


def test_strikes_far_apart_are_forgiven() -> None:
    conduct = Conduct()
    for number in range(100):
        assert not conduct.strike(Offence.UNDECODABLE, number * (STRIKES_WITHIN_NS // 3))

    assert conduct.offences[Offence.UNDECODABLE] == 100, "but they are counted"


def test_strikes_of_all_kinds_add_up() -> None:
    conduct = Conduct()
    kinds = [Offence.UNDECODABLE, Offence.TOO_EXPENSIVE, Offence.TOO_MUCH_DATA]

    assert [conduct.strike(kinds[n % 3], n) for n in range(5)][-1]
    assert conduct.offences == {kinds[0]: 2, kinds[1]: 2, kinds[2]: 1}


def test_what_was_underway_when_a_source_was_muted_does_not_count_twice() -> None:
    conduct = Conduct()
    offend(conduct, 0)

    assert offend(conduct, 10) == [False] * 5
    assert conduct.mutes == 1
    assert offend(conduct, MUTE_NS + S) == [False] * 4 + [True]


def test_after_three_mutes_a_source_is_dropped_for_good() -> None:
    conduct = Conduct()
    for number in range(MUTES + 1):
        assert not conduct.is_dropped
        offend(conduct, number * 2 * MUTE_NS)

    assert conduct.is_dropped
    assert conduct.mutes == MUTES
    assert conduct.is_muted(10**9 * S)


def test_a_source_that_errs_now_and_then_over_a_day_is_never_dropped() -> None:
    conduct = Conduct()
    for hour in range(24):
        offend(conduct, hour * 3600 * S)

    assert conduct.mutes == 24
    assert not conduct.is_dropped
    assert 3600 * S > FORGIVEN_NS


def test_a_source_its_decoder_hangs_on_is_dropped_at_once() -> None:
    conduct = Conduct()

    assert conduct.strike(Offence.DECODER_STUCK, 0)
    assert conduct.is_dropped
    assert not conduct.strike(Offence.DECODER_STUCK, 1), "once is enough"
