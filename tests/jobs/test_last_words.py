"""An end that only the worker knows of is told, whenever the control plane comes back."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.fakes.media import FakeKit
from tests.fakes.room import FakeRoom
from tests.jobs.control import KEY, Control, control
from worker.api.internal import WorkersEntrance
from worker.app import control as app_control
from worker.app.control import overseen
from worker.app.outputs import Outputs
from worker.core.lifecycle import State, StopReason
from worker.core.spec import ControlSpec, GalleryLayout, JobSpec, MixSpec, TestRoomSpec
from worker.engine.clock import LoopClock
from worker.engine.job import Job
from worker.settings import Settings

JOB = "c" * 32


async def ended_job(control: ControlSpec, reason: StopReason) -> Job:
    clock = LoopClock(asyncio.get_running_loop())
    spec = JobSpec(
        job_id=JOB,
        room=TestRoomSpec("ws://127.0.0.1:1/ws"),
        mix=MixSpec("room", None, GalleryLayout()),
        directory=Path("/nowhere"),
        name="name",
        control=control,
    )
    job = Job(spec, room=FakeRoom(clock, []), kit=FakeKit(), clock=clock, sinks=[])
    job.stop(reason)
    await job.run()
    return job


async def tell_the_end(job: Job) -> None:
    async with overseen(job, Outputs(sinks=[]), Settings()):
        pass  # nothing is recorded any more


@asynccontextmanager
async def entrance(plane: Control, port: int) -> AsyncIterator[None]:
    application = web.Application()
    doors = WorkersEntrance(plane.records, plane.lines, KEY, plane.wall, lambda: None)
    application.router.add_routes(doors.routes())
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


@pytest.mark.parametrize(
    ("reason", "waits"), [(StopReason.MAX_IDLE, True), (StopReason.TENANT_STOP, False)]
)
async def test_a_worker_stays_until_an_end_is_known_that_nobody_else_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: StopReason, waits: bool
) -> None:
    monkeypatch.setattr(app_control, "LAST_WORDS_S", 0.1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with control(tmp_path) as plane, asyncio.timeout(20):
        await plane.create()
        await plane.look()
        token = json.loads(plane.launcher.launched[0].document)["control"]["token"]
        job = await ended_job(ControlSpec(f"http://127.0.0.1:{port}", token), reason)
        telling = asyncio.create_task(tell_the_end(job))
        await asyncio.sleep(0.5)
        assert telling.done() is not waits
        async with entrance(plane, port):
            await telling
        now = await plane.job()
        assert now.reason is (reason if waits else None)
        assert now.is_live is not waits
        assert waits or now.state is State.INIT
