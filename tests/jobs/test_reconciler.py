"""What runs follows what is on record, whatever died in between."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.launcher import FakeLauncher
from tests.jobs.control import ACCOUNT, APP, KILL_AFTER_MS, Control, control
from worker.core.lifecycle import State, StopReason
from worker.errors import LaunchError, LaunchRefused
from worker.jobs.closing import PATIENCE_MS
from worker.jobs.reconciler import LEASE_MS, MAX_FAILURES, MAX_WORKERS, Reconciler, token_of
from worker.jobs.values import JobKind

JOB = "c" * 32


async def stop(plane: Control) -> None:
    await plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB)


async def test_a_new_job_gets_a_worker_with_its_own_token(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        await plane.look()
        [launch] = plane.launcher.launched
        document = json.loads(launch.document)
        assert document["mix_param"] == {"room_id": "room1"}
        assert document["control"] == {
            "url": "http://control",
            "token": token_of(bytes(range(32)), JOB, 1),
            "attempt": 1,
        }
        assert document["output"]["name"] == f"{JOB}.1"
        assert (await plane.job()).attempt == 1


async def test_a_start_that_was_put_on_record_but_not_tried_is_tried(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        # Killed between storing the number and starting the worker.
        await plane.records.change_job(JOB, lambda job: replace(job, attempt=1))
        await plane.look()
        assert [(each.job_id, each.attempt) for each in plane.launcher.launched] == [(JOB, 1)]


async def test_a_worker_that_runs_is_adopted_after_a_restart(tmp_path: Path) -> None:
    launcher = FakeLauncher()
    async with control(tmp_path, launcher=launcher) as plane:
        await plane.create()
        await plane.look()
    async with control(tmp_path, launcher=launcher) as plane:
        await plane.look()
        assert len(launcher.launched) == 1 and launcher.signals == []
        assert (await plane.job()).is_live


async def test_a_dead_worker_is_replaced_and_after_the_fourth_the_job_is_given_up(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        for attempt in range(1, MAX_FAILURES + 2):
            assert (await plane.job()).attempt == attempt
            plane.launcher.end(JOB, attempt, None if attempt == 1 else 70)
            await plane.look()
        job = await plane.job()
        assert (job.state, job.reason) == (State.STOPPED, StopReason.INTERNAL_ERROR)
        assert "worker 4 ended with exit code 70" in job.description
        assert len(plane.launcher.launched) == MAX_FAILURES + 1
        assert plane.launcher.recoveries > 0


async def test_a_worker_that_ended_in_order_is_replaced_many_times_but_not_for_ever(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        for attempt in range(1, MAX_WORKERS):
            plane.launcher.end(JOB, attempt, 0)
            await plane.look()
            job = await plane.job()
            assert (job.is_live, job.attempt, job.failures) == (True, attempt + 1, 0)
        plane.launcher.end(JOB, MAX_WORKERS, 0)
        await plane.look()
        assert (await plane.job()).reason is StopReason.INTERNAL_ERROR


async def test_a_stop_before_the_start_ends_the_job_without_a_worker(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await stop(plane)
        await plane.look()
        job = await plane.job()
        assert job.is_over and job.reason is StopReason.TENANT_STOP
        assert plane.launcher.launched == []
        [over] = await plane.records.due_messages(plane.wall(), 10)
        assert over.body == b"tenant_stop"


async def test_a_worker_that_cannot_be_told_is_sent_a_signal_and_killed_in_the_end(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        await stop(plane)
        await plane.look(after_ms=1000)
        assert plane.launcher.signals == []
        await plane.look(after_ms=3000)
        assert plane.launcher.signals == [("stop", JOB, 1)]
        await plane.look(after_ms=KILL_AFTER_MS)
        assert plane.launcher.signals[-1] == ("kill", JOB, 1)


async def test_the_last_word_is_left_to_who_recovers_and_said_by_us_after_a_minute(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        await stop(plane)
        plane.launcher.end(JOB, 1, 0)
        await plane.look()
        assert not (await plane.job()).is_over and plane.launcher.recoveries == 1
        assert not await plane.records.due_messages(plane.wall(), 10)
        await plane.look(after_ms=PATIENCE_MS)
        assert (await plane.job()).is_over
        assert len(await plane.records.due_messages(plane.wall(), 10)) == 1
        assert plane.launcher.workers == {}, "nothing is left of it"


async def test_a_launcher_that_fails_is_asked_again_and_the_job_says_why_it_waits(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        plane.launcher.failures = [LaunchError("no answer"), LaunchRefused("no room")]
        await plane.look()
        await plane.look()
        job = await plane.job()
        assert job.description == "no room" and job.attempt == 1
        await plane.look()
        assert len(plane.launcher.launched) == 1


async def test_unknown_workers_are_stopped(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        await plane.launcher.launch(replace(plane.launcher.launched[0], job_id="d" * 32))
        await plane.look(after_ms=10_000)
        assert plane.launcher.signals == [("stop", "d" * 32, 1)]


async def test_of_two_control_planes_one_leads_and_the_other_follows_when_it_dies(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        other = Reconciler(
            plane.records,
            plane.launcher,
            plane.lines,
            holder="other",
            control_url="http://other",
            results="/results",
            key=b"",
            kill_after_ms=1,
            unix_ms=plane.wall,
            is_told=lambda job: pytest.fail("nothing ends here"),
        )
        assert await plane.reconciler.leads()
        assert not await other.leads()
        plane.wall.now_ms += LEASE_MS + 1
        assert await other.leads()
        assert not await plane.reconciler.leads()


async def test_a_control_plane_that_ends_lets_go_of_its_lease(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(plane.reconciler.run())
            async with asyncio.timeout(5):
                while True:
                    if plane.reconciler.is_leader:
                        break
                    await asyncio.sleep(0.01)
            running.cancel()
        now_ms = plane.wall() + 1
        assert await plane.records.take_lease(
            "reconciler", "other", now_unix_ms=now_ms, until_unix_ms=now_ms + 1
        )


async def test_a_job_is_over_once_each_of_its_workers_has_told_everything(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await plane.look()
        plane.launcher.end(JOB, 1, None)
        await plane.look()
        await stop(plane)
        plane.launcher.end(JOB, 2, 0)
        await plane.records.change_job(JOB, lambda job: replace(job, told_attempts=frozenset({2})))
        await plane.look()
        assert not (await plane.job()).is_over
        await plane.records.change_job(
            JOB, lambda job: replace(job, told_attempts=job.told_attempts | {1})
        )
        await plane.look()
        assert (await plane.job()).is_over
        assert len(await plane.records.due_messages(plane.wall(), 10)) == 1
