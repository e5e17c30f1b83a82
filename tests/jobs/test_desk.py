"""Orders are put on record, or refused for a reason."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.control import ACCOUNT, APP, Control, control
from worker.core.lifecycle import State
from worker.errors import JobDone, JobNotRunning, NotFound, QuotaExceeded
from worker.jobs.desk import Room
from worker.jobs.values import JobKind, JobRecord

JOB = "c" * 32


async def test_a_full_machine_takes_no_more_jobs(tmp_path: Path) -> None:
    async with control(tmp_path, room=Room(cores=2.0, memory_mb=1000)) as plane:
        await plane.create("1" * 32, cores=1.2, memory_mb=300)
        await plane.create("2" * 32, cores=0.8, memory_mb=300)
        with pytest.raises(QuotaExceeded):
            await plane.create("3" * 32, cores=0.1, memory_mb=10)


async def test_a_machine_that_is_too_small_for_a_job_runs_one(tmp_path: Path) -> None:
    async with control(tmp_path, room=Room(cores=1.0)) as plane:
        await plane.create("1" * 32, cores=1.5)
        with pytest.raises(QuotaExceeded):
            await plane.create("2" * 32, cores=0.1)


async def test_of_many_creates_at_once_only_so_many_pass(tmp_path: Path) -> None:
    async with control(tmp_path, room=Room(cores=3.0)) as plane:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(admitted(plane, n)) for n in range(10)]
        assert sum(task.result() for task in tasks) == 3


async def admitted(plane: Control, n: int) -> bool:
    try:
        await plane.create(f"{n:032}", cores=1.0)
    except QuotaExceeded:
        return False
    return True


async def test_only_a_running_job_can_be_changed(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()

        def same(job: JobRecord) -> JobRecord:
            return job

        with pytest.raises(JobNotRunning):
            await plane.desk.update(ACCOUNT, APP, JobKind.MIX, JOB, same)
        await plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB)
        with pytest.raises(JobDone):
            await plane.desk.update(ACCOUNT, APP, JobKind.MIX, JOB, same)
        with pytest.raises(NotFound):
            await plane.desk.update(ACCOUNT, APP, JobKind.INDIVIDUAL, JOB, same)


async def test_fifty_stops_at_once_are_one(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB))
        job = await plane.job()
        assert job.state is State.STOPPED and job.stopped_unix_ms == plane.wall()
        await plane.look()
        assert len(await plane.records.due_messages(plane.wall(), 10)) == 1


async def test_another_record_rule_takes_another_worker_and_the_one_before_is_told_to_go(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        await plane.records.change_job(JOB, lambda job: replace(job, state=State.RUNNING))

        def ruled(job: JobRecord) -> JobRecord:
            return replace(job, document={**job.document, "record": {"rule_id": "r2"}})

        await plane.desk.update(ACCOUNT, APP, JobKind.MIX, JOB, ruled)
        await plane.look()
        assert [each.attempt for each in plane.launcher.launched] == [1, 2]
        assert b'"r2"' in plane.launcher.launched[1].document
        await plane.look(after_ms=10_000)
        assert plane.launcher.signals == [("stop", JOB, 1)], "if its line does not tell it"
        assert (await plane.job()).failures == 0
