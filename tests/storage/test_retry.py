import asyncio
from random import Random

import pytest

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone
from worker.storage.retry import Patience, Retry, longest_wait_s


class NotedClock:
    """Waits take no time; they are noted."""

    def __init__(self) -> None:
        self.time_ns = 0
        self.waits_s: list[float] = []

    def now_ns(self) -> int:
        return self.time_ns

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        self.waits_s.append((deadline_ns - self.time_ns) / 1e9)
        self.time_ns = deadline_ns
        await asyncio.sleep(0)


class Failing:
    def __init__(self, *errors: DestinationError) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_waits_are_bounded_by_a_tenth_of_a_second_that_doubles_up_to_thirty() -> None:
    bounds = [longest_wait_s(failures) for failures in range(1, 12)]
    assert bounds == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    assert longest_wait_s(10**6) == 30


async def test_there_is_no_limit_on_attempts_and_waits_are_spread_over_their_range() -> None:
    clock = NotedClock()
    attempt = Failing(*[DestinationError("away") for _ in range(2000)])
    heard: list[DestinationError] = []
    assert await Retry(clock, Random(1)).until_done(attempt, on_failure=heard.append) == "done"
    late = clock.waits_s[20:]
    assert len(heard) == len(clock.waits_s) == 2000
    assert all(0 <= wait_s <= 30 for wait_s in late)
    assert sum(late) / len(late) == pytest.approx(15, abs=1)
    assert min(late) < 1 and max(late) > 29


async def test_what_the_store_asks_for_is_waited_at_least_but_not_for_ever() -> None:
    polite, endless = DestinationError("slow down"), DestinationError("go away")
    polite.retry_after_s, endless.retry_after_s = 7.0, 1e9
    clock = NotedClock()
    await Retry(clock, Random(1)).until_done(Failing(polite, endless))
    assert 7.0 <= clock.waits_s[0] <= 7.1
    assert 300 <= clock.waits_s[1] <= 300.2


@pytest.mark.parametrize("error", [DestinationRefused, KeyTaken, UploadGone])
async def test_an_answer_for_good_is_not_asked_again(error: type[DestinationError]) -> None:
    clock = NotedClock()
    with pytest.raises(error):
        await Retry(clock, Random(1)).until_done(Failing(error("no")))
    assert clock.waits_s == []


async def test_a_store_that_is_away_for_too_long_is_given_up_for_all_who_ask() -> None:
    clock, patience = NotedClock(), Patience(60)
    attempt = Failing(*[DestinationError("away") for _ in range(1000)])
    with pytest.raises(DestinationError, match="away"):
        await Retry(clock, Random(1), patience).until_done(attempt)
    assert 60 <= clock.time_ns / 1e9 <= 90
    # The next file does not wait once more; one attempt tells whether the store is back.
    waited = len(clock.waits_s)
    with pytest.raises(DestinationError, match="away"):
        await Retry(clock, Random(1), patience).until_done(attempt)
    assert len(clock.waits_s) == waited
    attempt.errors.clear()
    assert await Retry(clock, Random(1), patience).until_done(attempt) == "done"
    attempt.errors += [DestinationError("away"), DestinationError("away")]
    assert await Retry(clock, Random(1), patience).until_done(attempt) == "done"


async def test_an_answer_that_took_long_to_fail_counts_from_when_it_was_asked_for() -> None:
    clock = NotedClock()

    async def attempt() -> None:
        clock.time_ns += 40 * 10**9
        raise DestinationError("no answer")

    with pytest.raises(DestinationError):
        await Retry(clock, Random(1), Patience(30)).until_done(attempt)
    assert clock.waits_s == []
