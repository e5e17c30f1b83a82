"""When a callback is tried again (fault table, C1)."""

import pytest

from worker.notify.schedule import told_s, wait_s

HOUR_S = 3600.0


def attempts_at(random: float) -> list[float]:
    """The ages at which an event that always fails is tried, until it is given up."""
    ages, age_s = [0.0], 0.0
    while (pause_s := wait_s(len(ages), age_s, lambda: random)) is not None:
        age_s += pause_s
        ages.append(age_s)
    return ages


def test_the_waits_of_the_fault_table():
    ages = attempts_at(0.5)
    waits = [later - sooner for sooner, later in zip(ages, ages[1:], strict=False)]

    assert waits[:4] == [1, 5, 15, 30]
    early = [wait for age, wait in zip(ages[4:], waits[4:], strict=False) if age < 900]
    middle = [wait for age, wait in zip(ages, waits, strict=False) if 900 <= age < 3 * HOUR_S]
    late = [wait for age, wait in zip(ages, waits, strict=False) if age >= 3 * HOUR_S]
    assert set(early) == {60}
    assert set(middle) == {600}
    assert set(late) == {7200}
    assert ages[-2] < 76 * HOUR_S <= ages[-1]


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.999999, 1.2)])
def test_jitter_is_a_fifth_either_way(random, factor):
    for attempts, age_s, wait in [(1, 0, 1), (5, 60, 60), (20, HOUR_S, 600), (40, 4e4, 7200)]:
        assert wait_s(attempts, age_s, lambda: random) == pytest.approx(wait * factor, rel=1e-4)


def test_an_old_event_is_tried_once_more_and_given_up():
    assert wait_s(5, 80 * HOUR_S, lambda: 0.5) is None


def test_what_a_receiver_asks_for_is_done_up_to_an_hour():
    assert told_s(7.0) == 7.0
    assert told_s(1e9) == 3600
    assert told_s(-5.0) == 1
