"""Jobs."""

import asyncio
from dataclasses import replace

import pytest

from tests.jobs.records.samples import (
    ACME,
    ACME_APP,
    BOLT,
    BOLT_APP,
    PLENTY,
    a_job,
    a_message,
    a_rule,
)
from worker.core.lifecycle import State, StopReason
from worker.errors import AppStopped, JobRunning, NotFound, QuotaExceeded, WorkerError
from worker.jobs.ports import Records
from worker.jobs.values import AppState, JobKind, JobRecord


def stopped(job: JobRecord) -> JobRecord:
    return replace(job, state=State.STOPPED, stopped_unix_ms=9000)


def over(job: JobRecord) -> JobRecord:
    return replace(stopped(job), is_over=True)


async def test_a_job_comes_back_as_it_was_stored(records: Records) -> None:
    plain = a_job(1)
    ended = a_job(
        2,
        kind=JobKind.INDIVIDUAL,
        state=State.STOPPED,
        reason=StopReason.ROOM_LOST,
        description="déjà vu",
        started_unix_ms=5000,
        stopped_unix_ms=6000,
        cores=2.0,
        memory_mb=1024,
        attempt=3,
        failures=2,
        is_over=True,
        told_attempts=frozenset({3, 1}),
        revision=7,
    )
    for job in (plain, ended):
        await records.add_job(job, rule_id=None, quota=PLENTY)
        assert await records.job(ACME, ACME_APP, job.kind, job.job_id) == job
        assert await records.any_job(job.job_id) == job
    # An integer that SQLite keeps for 2.0 must not come back.
    again = await records.any_job(ended.job_id)
    assert again is not None
    assert isinstance(again.cores, float)

    with pytest.raises(NotFound):
        await records.job(ACME, ACME_APP, JobKind.INDIVIDUAL, plain.job_id)
    assert await records.any_job("f" * 32) is None


async def test_what_a_job_needs_is_checked(records: Records) -> None:
    await records.put_rule(BOLT, a_rule("6" * 32, BOLT_APP))
    with pytest.raises(NotFound):
        await records.add_job(a_job(app_id="9" * 24), rule_id=None, quota=PLENTY)
    with pytest.raises(NotFound):
        await records.add_job(a_job(app_id=BOLT_APP), rule_id=None, quota=PLENTY)
    with pytest.raises(NotFound):
        await records.add_job(a_job(), rule_id="6" * 32, quota=PLENTY)

    await records.set_app_state(ACME, ACME_APP, AppState.STOPPED, 1)
    with pytest.raises(AppStopped):
        await records.add_job(a_job(), rule_id=None, quota=PLENTY)
    assert await records.unfinished_jobs() == ()


async def _outcomes(
    planes: tuple[Records, Records], jobs: list[JobRecord], quota: int
) -> list[type[WorkerError] | None]:
    async def add(plane: Records, job: JobRecord) -> type[WorkerError] | None:
        try:
            await plane.add_job(job, rule_id=None, quota=quota)
        except WorkerError as exc:
            return type(exc)
        return None

    return await asyncio.gather(*(add(planes[number % 2], job) for number, job in enumerate(jobs)))


async def test_a_hundred_creates_with_one_key_make_one_job(
    planes: tuple[Records, Records],
) -> None:
    jobs = [a_job(number, unique_id="one") for number in range(1, 101)]
    outcomes = await _outcomes(planes, jobs, PLENTY)

    assert outcomes.count(None) == 1
    assert outcomes.count(JobRunning) == 99
    (only,) = await planes[1].unfinished_jobs()
    assert only == jobs[outcomes.index(None)]


async def test_a_key_is_free_again_once_its_job_has_stopped(records: Records) -> None:
    await records.add_job(a_job(1, unique_id="one"), rule_id=None, quota=PLENTY)
    # Other applications have keys of their own.
    elsewhere = a_job(2, unique_id="one", account_id=BOLT, app_id=BOLT_APP)
    await records.add_job(elsewhere, rule_id=None, quota=PLENTY)
    await records.change_job(a_job(1).job_id, stopped)
    await records.add_job(a_job(3, unique_id="one"), rule_id=None, quota=PLENTY)


async def test_the_quota_of_jobs_holds_however_many_try_at_once(
    planes: tuple[Records, Records],
) -> None:
    outcomes = await _outcomes(planes, [a_job(number) for number in range(1, 31)], quota=5)
    assert outcomes.count(None) == 5
    assert outcomes.count(QuotaExceeded) == 25

    # It is the account's: another one has its own, and stopped jobs do not count.
    other = a_job(40, account_id=BOLT, app_id=BOLT_APP)
    await planes[0].add_job(other, rule_id=None, quota=1)
    await planes[0].change_job((await planes[0].unfinished_jobs())[0].job_id, stopped)
    await planes[1].add_job(a_job(41), rule_id=None, quota=5)


async def test_no_change_of_many_is_lost(planes: tuple[Records, Records]) -> None:
    job = a_job()
    await planes[0].add_job(job, rule_id=None, quota=PLENTY)

    def one_more(old: JobRecord) -> JobRecord:
        return replace(old, failures=old.failures + 1)

    changed = await asyncio.gather(
        *(planes[number % 2].change_job(job.job_id, one_more) for number in range(200))
    )

    # Each saw the one before: no two made the same step.
    assert sorted(each.failures for each in changed) == list(range(1, 201))
    assert all(each.revision == each.failures for each in changed)
    assert await planes[0].any_job(job.job_id) == replace(job, failures=200, revision=200)


async def test_a_change_that_raises_changes_nothing(records: Records) -> None:
    await records.add_job(a_job(), rule_id=None, quota=PLENTY)

    def refuse(old: JobRecord) -> JobRecord:
        raise KeyError("no")

    with pytest.raises(KeyError):
        await records.change_job(a_job().job_id, refuse)
    assert await records.any_job(a_job().job_id) == a_job()
    with pytest.raises(NotFound):
        await records.change_job("f" * 32, stopped)


async def test_a_cancelled_change_leaves_the_database_usable(records: Records) -> None:
    await records.add_job(a_job(), rule_id=None, quota=PLENTY)
    done = 0
    for number in range(40):
        task = asyncio.create_task(records.change_job(a_job().job_id, stopped))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
            done += 1
        except asyncio.CancelledError:
            pass

    again = await asyncio.wait_for(records.change_job(a_job().job_id, stopped), 10)
    assert done < again.revision <= 41


async def test_unfinished_jobs_come_oldest_first_and_an_accounts_newest_first(
    records: Records,
) -> None:
    for number in (3, 1, 2, 4):
        await records.add_job(a_job(number), rule_id=None, quota=PLENTY)
    await records.change_job(a_job(1).job_id, over)
    await records.change_job(a_job(2).job_id, stopped)

    unfinished = await records.unfinished_jobs()
    assert [int(job.job_id, 16) for job in unfinished] == [2, 3, 4]
    assert [int(job.job_id, 16) for job in await records.jobs(ACME, size=3)] == [4, 3, 2]
    assert await records.jobs(BOLT, size=3) == ()


async def test_revisions_are_told_of_jobs_that_exist(records: Records) -> None:
    await records.add_job(a_job(1), rule_id=None, quota=PLENTY)
    await records.add_job(a_job(2), rule_id=None, quota=PLENTY)
    await records.change_job(a_job(2).job_id, stopped)

    asked = [a_job(number).job_id for number in range(1, 1500)]
    assert await records.revisions(asked) == {a_job(1).job_id: 0, a_job(2).job_id: 1}
    assert await records.revisions([]) == {}


async def test_old_jobs_are_forgotten_once_their_callbacks_are_sent(records: Records) -> None:
    for number in (1, 2, 3, 4):
        await records.add_job(a_job(number), rule_id=None, quota=PLENTY)
    await records.add_message(a_message("sent", 1))
    await records.add_message(a_message("waiting", 2))
    (first, _) = await records.due_messages(9999, 10)
    await records.finish_message(first.number, was_sent=True)
    for number in (1, 2):
        await records.change_job(a_job(number).job_id, over)
    await records.change_job(a_job(3).job_id, stopped)

    assert await records.forget_jobs(9000) == 0
    assert await records.forget_jobs(9001) == 1

    assert await records.any_job(a_job(1).job_id) is None
    assert not await records.has_message("sent")
    for number in (2, 3, 4):
        assert await records.any_job(a_job(number).job_id) is not None
    assert await records.has_message("waiting")


async def test_of_very_many_old_jobs_some_are_forgotten_at_once(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.jobs.records.jobs._FORGOTTEN_AT_ONCE", 2)
    for number in range(1, 6):
        await records.add_job(over(a_job(number)), rule_id=None, quota=PLENTY)

    assert [await records.forget_jobs(9001) for _ in range(4)] == [2, 2, 1, 0]


async def test_two_control_planes_forget_at_the_same_time(
    planes: tuple[Records, Records],
) -> None:
    for number in range(1, 21):
        await planes[0].add_job(over(a_job(number)), rule_id=None, quota=PLENTY)
        await planes[0].add_message(a_message(f"{number}", number))
    for message in await planes[0].due_messages(9999, 100):
        await planes[0].finish_message(message.number, was_sent=False)

    forgotten = await asyncio.gather(*(planes[n % 2].forget_jobs(9001) for n in range(6)))
    # Whoever is busy with a row is not waited for, so it may take one more round.
    assert sum(forgotten) + await planes[0].forget_jobs(9001) == 20
