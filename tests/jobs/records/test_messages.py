"""Callbacks in their lines."""

import asyncio

import pytest

from tests.jobs.records.samples import PLENTY, a_job, a_message
from worker.errors import NotFound
from worker.jobs.ports import Records


async def _due(records: Records, now_unix_ms: int = 0, most: int = 100) -> list[str]:
    return [message.event_id for message in await records.due_messages(now_unix_ms, most)]


async def test_each_jobs_messages_come_in_order_one_at_a_time(records: Records) -> None:
    for number in (1, 2):
        await records.add_job(a_job(number), rule_id=None, quota=PLENTY)
    for event_id, job_number in (("1a", 1), ("1b", 1), ("2a", 2), ("1c", 1), ("2b", 2)):
        assert await records.add_message(a_message(event_id, job_number))

    assert await _due(records) == ["1a", "2a"]
    assert await _due(records, most=1) == ["1a"]
    first, second = await records.due_messages(0, 100)
    assert first.number < second.number
    assert first.body == b"1a"

    await records.finish_message(first.number, was_sent=True)
    assert await _due(records) == ["1b", "2a"]
    await records.finish_message(second.number, was_sent=False)
    assert await _due(records) == ["1b", "2b"]


async def test_a_message_that_fails_holds_up_its_own_line_only(records: Records) -> None:
    for number in (1, 2):
        await records.add_job(a_job(number), rule_id=None, quota=PLENTY)
    for event_id, job_number in (("1a", 1), ("1b", 1), ("2a", 2)):
        await records.add_message(a_message(event_id, job_number))
    (first, _) = await records.due_messages(0, 100)

    await records.delay_message(first.number, attempts=4, failing_unix_ms=70, due_unix_ms=500)

    assert await _due(records, 499) == ["2a"]
    # Longest overdue first.
    assert await _due(records, 500) == ["2a", "1a"]
    (_, again) = await records.due_messages(500, 100)
    assert (again.attempts, again.failing_unix_ms, again.due_unix_ms) == (4, 70, 500)


async def test_an_event_is_known_until_its_job_is_forgotten(records: Records) -> None:
    await records.add_job(a_job(), rule_id=None, quota=PLENTY)
    assert not await records.has_message("event")
    assert await records.add_message(a_message())
    assert not await records.add_message(a_message(body=b"another"))
    (message,) = await records.due_messages(0, 100)
    assert message.body == b"event"

    await records.finish_message(message.number, was_sent=True)
    assert await records.has_message("event")
    assert not await records.add_message(a_message())
    assert await _due(records) == []


async def test_a_message_has_a_job(records: Records) -> None:
    with pytest.raises(NotFound):
        await records.add_message(a_message())


async def test_of_many_equal_events_one_is_stored(planes: tuple[Records, Records]) -> None:
    await planes[0].add_job(a_job(), rule_id=None, quota=PLENTY)
    added = (planes[number % 2].add_message(a_message()) for number in range(30))
    assert sum(await asyncio.gather(*added)) == 1


async def test_no_message_appears_ahead_of_one_that_was_seen(
    planes: tuple[Records, Records],
) -> None:
    """Numbers are given before rows can be seen: a smaller one must not turn up later."""
    await planes[0].add_job(a_job(), rule_id=None, quota=PLENTY)
    seen: list[int] = []

    async def add(plane: Records, name: str) -> None:
        for number in range(25):
            await plane.add_message(a_message(f"{name}{number}"))

    async def send() -> None:
        while len(seen) < 50:
            for message in await planes[0].due_messages(0, 1):
                seen.append(message.number)
                await planes[0].finish_message(message.number, was_sent=True)

    await asyncio.gather(add(planes[0], "a"), add(planes[1], "b"), send())
    assert seen == sorted(seen)


async def test_numbers_are_not_given_twice(records: Records) -> None:
    await records.add_job(a_job(is_over=True), rule_id=None, quota=PLENTY)
    await records.add_message(a_message("first"))
    (first,) = await records.due_messages(0, 1)
    await records.finish_message(first.number, was_sent=True)
    assert await records.forget_jobs(10_000) == 1

    await records.add_job(a_job(2), rule_id=None, quota=PLENTY)
    await records.add_message(a_message("second", 2))
    (second,) = await records.due_messages(0, 1)
    assert second.number > first.number
