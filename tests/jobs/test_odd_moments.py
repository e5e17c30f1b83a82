"""Something else happens in the middle of what a control plane does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.launcher import FakeLauncher
from tests.jobs.control import ACCOUNT, APP, Control, control
from worker.core.lifecycle import State
from worker.errors import JobRunning, LaunchError, QuotaExceeded, RecordsDown
from worker.jobs.desk import Room
from worker.jobs.ports import Launch
from worker.jobs.reconciler import LEASE, LEASE_MS
from worker.jobs.values import JobKind, JobRecord

JOB, OTHER = "c" * 32, "d" * 32


@dataclass
class OddLauncher(FakeLauncher):
    """Fails altogether, or lets something happen before a launch."""

    is_down: bool = False
    before_launch: Callable[[Launch], Awaitable[None]] | None = None

    async def launch(self, launch: Launch) -> None:
        self._fail()
        if self.before_launch is not None:
            await self.before_launch(launch)
        await super().launch(launch)

    async def running(self) -> Collection[tuple[str, int]]:
        self._fail()
        return await super().running()

    async def recover(self) -> None:
        self._fail()
        await super().recover()

    def _fail(self) -> None:
        if self.is_down:
            raise LaunchError("no answer")


async def stop(plane: Control) -> None:
    await plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB)


async def look_at_what_was(plane: Control, meanwhile: Callable[[], Awaitable[Any]]) -> None:
    """A look at the jobs as they were before *meanwhile*."""
    before = await plane.records.unfinished_jobs()
    await meanwhile()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plane.records, "unfinished_jobs", answering(before))
        await plane.look()


def answering(answer: Any) -> Callable[..., Awaitable[Any]]:
    async def answered(*_: object) -> Any:
        return answer

    return answered


async def test_who_asks_again_for_the_job_that_fills_the_machine_learns_that_it_runs(
    tmp_path: Path,
) -> None:
    async with control(tmp_path, room=Room(cores=1.0)) as plane:
        await plane.create(JOB, unique_id="key", cores=1.0)
        with pytest.raises(JobRunning):
            await plane.create(OTHER, unique_id="key", cores=1.0)
        with pytest.raises(QuotaExceeded):
            await plane.create(OTHER, unique_id="other", cores=1.0)


async def test_a_launcher_that_is_down_ends_nothing_and_a_death_is_counted_once(
    tmp_path: Path,
) -> None:
    launcher = OddLauncher()
    async with control(tmp_path, launcher=launcher) as plane:
        await plane.create()
        await plane.look()
        launcher.end(JOB, 1, 70)
        launcher.is_down = True
        for _ in range(10):
            await plane.look(after_ms=6000)
        job = await plane.job()
        assert (job.is_live, job.failures, job.attempt) == (True, 1, 2)
        launcher.is_down = False
        await plane.look()
        assert [each.attempt for each in launcher.launched] == [1, 2]


async def test_a_job_that_is_stopped_before_its_worker_is_numbered_has_none(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        await look_at_what_was(plane, lambda: stop(plane))
        assert (await plane.job()).attempt == 0 and plane.launcher.launched == []
        await plane.look()
        assert (await plane.job()).is_over, "there is nobody to wait for"


async def test_a_job_that_is_stopped_before_its_start_is_tried_again_is_not_started(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.create()
        plane.launcher.failures = [LaunchError("no answer")]
        await plane.look()
        await look_at_what_was(plane, lambda: stop(plane))
        assert plane.launcher.launched == []


async def test_who_stood_still_and_lost_its_lease_starts_nothing_more(tmp_path: Path) -> None:
    launcher = OddLauncher()
    async with control(tmp_path, launcher=launcher) as plane:

        async def stands_still(_: Launch) -> None:
            plane.wall.now_ms += LEASE_MS + 1
            now_ms = plane.wall()
            assert await plane.records.take_lease(
                LEASE, "other", now_unix_ms=now_ms, until_unix_ms=now_ms + LEASE_MS
            )

        await plane.create(JOB)
        await plane.create(OTHER)
        assert await plane.reconciler.leads()
        launcher.before_launch = stands_still
        await plane.look(after_ms=1)
        assert [each.job_id for each in launcher.launched] == [JOB]
        assert not plane.reconciler.is_leader


async def test_a_long_look_keeps_the_lease(tmp_path: Path) -> None:
    launcher = OddLauncher()
    async with control(tmp_path, launcher=launcher) as plane:

        async def takes_long(_: Launch) -> None:
            plane.wall.now_ms += LEASE_MS * 2 // 3
            now_ms = plane.wall()
            assert not await plane.records.take_lease(
                LEASE, "other", now_unix_ms=now_ms, until_unix_ms=now_ms + LEASE_MS
            )

        for n in range(4):
            await plane.create(f"{n:032}")
        assert await plane.reconciler.leads()
        launcher.before_launch = takes_long
        await plane.look(after_ms=1)
        assert len(launcher.launched) == 4


@dataclass
class Socket:
    """A worker's end, which is silent."""

    said: list[dict[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> str | bytes | None:
        await self.hung_up.wait()
        return None

    async def send(self, text: str) -> None:
        self.said.append(json.loads(text))
        self.came.set()

    async def close(self) -> None:
        self.hung_up.set()

    async def hears(self, room_id: str) -> None:
        async with asyncio.timeout(5):
            while not self.said or self.said[-1]["mix_param"]["room_id"] != room_id:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def connected(plane: Control) -> AsyncIterator[Socket]:
    socket = Socket()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(plane.lines.serve(JOB, 1, socket))
        following = group.create_task(plane.lines.follow())
        yield socket
        serving.cancel()
        following.cancel()


async def change(plane: Control, room_id: str) -> None:
    def changed(job: JobRecord) -> JobRecord:
        return replace(job, document={**job.document, "mix_param": {"room_id": room_id}})

    await plane.records.change_job(JOB, changed)
    plane.lines.wake()


async def running(plane: Control) -> None:
    await plane.create()
    await plane.look()
    await plane.records.change_job(JOB, lambda job: replace(job, state=State.RUNNING))


async def test_lines_outlive_a_database_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control(tmp_path) as plane:
        await running(plane)
        async with connected(plane) as socket:
            await socket.hears("room1")
            asked = asyncio.Event()

            async def down(*_: object) -> None:
                asked.set()
                raise RecordsDown("no answer")

            with monkeypatch.context() as patch:
                patch.setattr(plane.records, "revisions", down)
                plane.lines.wake()
                await asyncio.wait_for(asked.wait(), 5)
            await change(plane, "room2")
            await socket.hears("room2")


async def test_what_was_read_before_is_not_told_after_what_was_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control(tmp_path) as plane:
        await running(plane)
        read, goes_on = asyncio.Event(), asyncio.Event()
        any_job = plane.records.any_job

        async def slow_at_first(job_id: str) -> JobRecord | None:
            job = await any_job(job_id)
            if not read.is_set():
                read.set()
                await goes_on.wait()
            return job

        monkeypatch.setattr(plane.records, "any_job", slow_at_first)
        async with connected(plane) as socket:
            await read.wait()
            await change(plane, "room2")
            await asyncio.sleep(0.1)  # time to be told too early
            goes_on.set()
            await asyncio.sleep(0.1)  # and too late
            await socket.hears("room2")
            rooms = [said["mix_param"]["room_id"] for said in socket.said]
            assert rooms == sorted(rooms)
