"""What workers tell goes on record, and what is on record they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.jobs.control import ACCOUNT, APP, Control, control, told
from worker.core.lifecycle import State, StopReason
from worker.jobs.channel_messages import STILL
from worker.jobs.values import JobKind, JobRecord

JOB = "c" * 32


@dataclass
class FakeSocket:
    heard: asyncio.Queue[str | bytes | None] = field(default_factory=asyncio.Queue)
    said: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    is_closed: bool = False

    async def receive(self) -> str | bytes | None:
        return await self.heard.get()

    async def send(self, text: str) -> None:
        if self.is_closed:
            raise ConnectionError
        self.said.put_nowait(text)

    async def close(self) -> None:
        self.is_closed = True
        self.heard.put_nowait(None)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            message: dict[str, Any] = json.loads(await self.said.get())
        return message


@asynccontextmanager
async def connected(plane: Control, attempt: int = 1) -> AsyncIterator[FakeSocket]:
    socket = FakeSocket()
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.lines.serve(JOB, attempt, socket))
        following = group.create_task(plane.lines.follow())
        try:
            yield socket
        finally:
            await socket.close()
            following.cancel()


async def until(plane: Control, holds: Callable[[JobRecord], bool]) -> JobRecord:
    async with asyncio.timeout(5):
        while True:
            job = await plane.job()
            if holds(job):
                return job
            await asyncio.sleep(0.01)


async def started(plane: Control) -> None:
    await plane.create()
    await plane.look()


async def test_a_worker_is_told_its_job_at_once_and_every_change_of_it(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        async with connected(plane) as socket:
            first = await socket.next()
            assert (first["stop"], first["mix_param"]) == (False, {"room_id": "room1"})
            socket.heard.put_nowait(told(State.RUNNING))
            job = await until(plane, lambda job: job.state is State.RUNNING)
            assert job.started_unix_ms == plane.wall()
            assert not (await socket.next())["stop"]

            def changed(job: JobRecord) -> JobRecord:
                return replace(job, document={**job.document, "mix_param": {"room_id": "r2"}})

            plane.wall.now_ms += 1000
            await plane.desk.update(ACCOUNT, APP, JobKind.MIX, JOB, changed)
            assert (await socket.next())["mix_param"] == {"room_id": "r2"}
            await plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB)
            assert (await socket.next())["stop"] is True


async def test_the_end_that_a_worker_tells_is_the_jobs_and_it_may_go_then(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        async with connected(plane) as socket:
            await socket.next()
            socket.heard.put_nowait(
                told(State.STOPPED, StopReason.MAX_IDLE, description="idle", is_final=True)
            )
            job = await until(plane, lambda job: not job.is_live)
            assert (job.reason, job.description) == (StopReason.MAX_IDLE, "idle")
            while not (await socket.next())["has_all"]:
                pass


async def test_the_first_reason_stays(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        await plane.desk.stop(ACCOUNT, APP, JobKind.MIX, JOB)
        async with connected(plane) as socket:
            socket.heard.put_nowait(told(State.STOPPED, StopReason.MAX_IDLE, description="x"))
            job = await until(plane, lambda job: job.description == "x")
            assert job.reason is StopReason.TENANT_STOP


async def test_a_worker_that_was_sent_a_signal_does_not_end_its_job(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        async with connected(plane) as socket:
            socket.heard.put_nowait(told(State.STOPPED, StopReason.SIGNAL, description="moved"))
            assert (await until(plane, lambda job: job.description == "moved")).is_live


async def test_a_worker_that_was_replaced_is_told_to_go_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        await plane.records.change_job(JOB, lambda job: replace(job, attempt=2))
        async with connected(plane, attempt=1) as socket:
            first = await socket.next()
            assert first["stop"] and first["has_all"]
            socket.heard.put_nowait(told(State.STOPPED, StopReason.MAX_IDLE))
            socket.heard.put_nowait(told(State.RUNNING))
            await socket.close()
        job = await plane.job()
        assert (job.state, job.reason) == (State.INIT, None)


async def test_nonsense_on_the_line_is_survived(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        async with connected(plane) as socket:
            for nonsense in (
                "",
                "[]",
                '{"type":"told"}',
                '{"type":"told","state":"x"}',
                "[" * 9999,
            ):
                socket.heard.put_nowait(nonsense)
            socket.heard.put_nowait(told(State.RUNNING))
            await until(plane, lambda job: job.state is State.RUNNING)


async def test_reports_and_stills_are_for_people(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await started(plane)
        assert plane.lines.report(JOB) is None and await plane.lines.still(JOB) is None
        async with connected(plane) as socket:
            await socket.next()
            message = told(State.INIT, report={"recorded_s": 5}, description="in")
            socket.heard.put_nowait(message)
            await until(plane, lambda job: job.description == "in")
            assert plane.lines.report(JOB) == {"recorded_s": 5}
            picture, twice = await both(plane.lines.still, socket)
            assert picture == twice == b"jpeg"
        assert plane.lines.report(JOB) is None


async def both(
    still: Callable[[str], Awaitable[bytes | None]], socket: FakeSocket
) -> tuple[bytes | None, bytes | None]:
    """Two who ask at once; the worker is asked once."""
    async with asyncio.TaskGroup() as group:
        one = group.create_task(still(JOB))
        two = group.create_task(still(JOB))
        assert json.dumps(await socket.next(), separators=(",", ":")) == STILL
        socket.heard.put_nowait(b"jpeg")
    assert socket.said.empty()
    return one.result(), two.result()
