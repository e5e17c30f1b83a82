"""How many requests may come, from accounts and from strangers."""

from collections.abc import Callable

import pytest

from tests.api.auth.world import Clock
from worker.api.auth.limits import DOCUMENTED, Buckets, Limits, Rate
from worker.api.auth.refusals import TooManyRequests
from worker.api.operation import Group


def passed(attempt: Callable[[], None], times: int) -> int:
    """How many of so many attempts were let through."""
    count = 0
    for _ in range(times):
        try:
            attempt()
        except TooManyRequests:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("group", "at_once", "after_ten_seconds"),
    [
        (Group.SETUP, 60, 10),
        (Group.JOBS, 10, 10),
        (Group.ROOMS, 60, 10),
        (Group.BUCKETS, 2, 2),
        (Group.STATISTICS, 30, 5),
    ],
)
def test_groups_have_the_documented_rates(
    clock: Clock, group: Group, at_once: int, after_ten_seconds: int
) -> None:
    limits = Limits(unix_ms=clock)

    assert passed(lambda: limits.count("a", group), 100) == at_once
    clock.advance(10)
    assert passed(lambda: limits.count("a", group), 100) == after_ten_seconds


def test_every_group_has_a_rate() -> None:
    assert set(DOCUMENTED) == set(Group)


def test_who_asks_as_often_as_allowed_is_never_refused(clock: Clock) -> None:
    limits = Limits(unix_ms=clock)
    for _ in range(1000):
        limits.count("a", Group.JOBS)
        clock.advance(0.1)


def test_who_is_refused_is_told_when_to_come_back(clock: Clock) -> None:
    limits = Limits(unix_ms=clock, strangers=Rate(2, 60))
    assert passed(lambda: limits.count_stranger("x"), 2) == 2

    with pytest.raises(TooManyRequests) as refusal:
        limits.count_stranger("x")
    assert refusal.value.retry_after_s == 30
    clock.advance(29)
    assert passed(lambda: limits.count_stranger("x"), 1) == 0
    clock.advance(1)
    assert passed(lambda: limits.count_stranger("x"), 2) == 1


def test_accounts_groups_and_addresses_do_not_share(clock: Clock) -> None:
    limits = Limits(unix_ms=clock, strangers=Rate(1, 60))
    assert passed(lambda: limits.count("a", Group.BUCKETS), 10) == 2

    assert passed(lambda: limits.count("b", Group.BUCKETS), 10) == 2
    assert passed(lambda: limits.count("a", Group.JOBS), 20) == 10
    assert passed(lambda: limits.count_stranger("a"), 10) == 1
    assert passed(lambda: limits.count_stranger("b"), 10) == 1


def test_checking_an_address_takes_nothing(clock: Clock) -> None:
    limits = Limits(unix_ms=clock, strangers=Rate(1, 60))
    for _ in range(5):
        limits.check_stranger("x")
    limits.count_stranger("x")

    with pytest.raises(TooManyRequests):
        limits.check_stranger("x")


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(clock: Clock) -> None:
    limits = Limits(unix_ms=clock, strangers=Rate(2, 2))
    limits.count_stranger("x")
    clock.advance(-3600)
    limits.count_stranger("x")

    with pytest.raises(TooManyRequests):
        limits.count_stranger("x")
    clock.advance(1)
    limits.count_stranger("x")


def test_buckets_are_bounded_and_forget_who_was_not_there_for_longest() -> None:
    buckets, rate = Buckets(capacity=2), Rate(1, 60)
    for key in ("first", "second"):
        buckets.take(key, rate, 0)
    buckets.take("first", rate, 60_000)
    buckets.take("third", rate, 60_000)

    waits_s = {key: buckets.wait_s(key, rate, 60_000) for key in ("first", "second", "third")}
    assert waits_s == {"first": 60, "second": 0, "third": 60}
