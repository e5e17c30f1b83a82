"""Runs a whole job in virtual time with a scripted room and in-memory media."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.media import FakeCanvas, FakeKit
from tests.fakes.room import FakeRoom, Happening
from tests.fakes.sink import FakeSink
from worker.core.layout.geometry import Size
from worker.core.lifecycle import StopReason
from worker.core.spec import GalleryLayout, JobSpec, MixSpec, TestRoomSpec
from worker.core.template import EncodeTemplate
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions
from worker.ports import MediaKit
from worker.testroom.virtual_loop import run_virtual

FPS = 30
SPEC = JobSpec(
    job_id="job",
    room=TestRoomSpec("ws://127.0.0.1:1/ws"),
    mix=MixSpec(
        room_id="room",
        template=EncodeTemplate(Size(640, 480), FPS, 1000),
        layout=GalleryLayout(),
        max_idle_s=5,
    ),
    directory=Path("unused"),
    name="job",
)


@dataclass
class Run:
    """A finished job and everything around it."""

    job: Job
    room: FakeRoom
    kit: MediaKit
    error: BaseException | None
    ended_s: float

    @property
    def canvases(self) -> Sequence[FakeCanvas]:
        """What a fake kit's encoder was given, frame by frame; for a job without an error."""
        if self.error is not None:
            raise self.error
        assert isinstance(self.kit, FakeKit)
        return self.kit.video_encoders[0].canvases


def run(
    spec: JobSpec,
    script: Sequence[tuple[float, Happening]],
    sinks: Sequence[FakeSink] = (),
    *,
    kit: MediaKit | None = None,
    connects: bool = True,
    during: Callable[[Job], None] | None = None,
    cancel_at_s: float | None = None,
) -> Run:
    """Run *spec* to its end; *during* is called before it begins, on its loop."""

    async def main() -> Run:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        room = FakeRoom(clock, script, connects=connects)
        media = FakeKit(warnings=FakeKit.warnings) if kit is None else kit
        options = JobOptions(connect_timeout_s=10)
        job = Job(spec, room=room, kit=media, clock=clock, sinks=sinks, options=options)
        if during is not None:
            during(job)
        error: BaseException | None = None
        task = asyncio.current_task()
        assert task is not None
        if cancel_at_s is not None:
            loop.call_later(cancel_at_s, task.cancel)
        try:
            await job.run()
        except (Exception, asyncio.CancelledError) as exc:
            error = exc
            task.uncancel()
        return Run(job, room, media, error, loop.time())

    return run_virtual(main())


def at(at_s: float, call: Callable[[Job], object]) -> Callable[[Job], None]:
    """For `during`: do *call* at *at_s*."""

    def plan(job: Job) -> None:
        asyncio.get_running_loop().call_later(at_s, call, job)

    return plan


def stop_at(at_s: float) -> Callable[[Job], None]:
    """For `during`: stop the job at *at_s*."""
    return at(at_s, lambda job: job.stop(StopReason.TENANT_STOP))
