"""One job, from its spec to its result file."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.app.background import running
from worker.app.control import Overseer, overseen
from worker.app.outputs import Outputs, open_outputs
from worker.app.recovery import recover_spool
from worker.app.result import claim, process_facts, write_result
from worker.app.rooms import room_of
from worker.app.signals import StopSignals
from worker.app.stores import open_store
from worker.core.lifecycle import StopReason
from worker.core.spec import JobSpec
from worker.core.timing import NS_PER_S
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions, Progress
from worker.engine.report import report
from worker.engine.thread_cpu import ThreadCpu
from worker.errors import DestinationError, InternalError, WorkerError
from worker.media.encode import EncoderSettings
from worker.media.kit import PyavKit
from worker.metrics.job import JobNumbers
from worker.settings import Settings
from worker.storage.images import BucketImages

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, for the exit code and for people."""

    result: dict[str, Any]
    result_path: Path
    recording_path: Path | None
    """None when the recording went by a record rule."""
    reason: StopReason | None
    aborted: bool
    error: WorkerError | None


async def run_job(
    spec: JobSpec,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Run one job to its end and write its files; the first signal drains, the second aborts.

    Raises `DestinationError` before anything is joined when the directory or the spool cannot be
    written, or the recording exists already; `InvalidField` for settings that do not fit.
    """
    loop = asyncio.get_running_loop()
    clock, thread_cpu = LoopClock(loop), ThreadCpu()
    room = room_of(spec, settings, clock)
    recording_path, result_path = claim(spec)
    kit = PyavKit(
        EncoderSettings(
            preset=settings.video.preset, threads=settings.video.encoder_threads or None
        ),
        fetch_image=BucketImages(loop, lambda address: open_store(address, settings.storage)),
    )
    async with AsyncExitStack() as stack:
        try:
            outputs = await stack.enter_async_context(
                open_outputs(spec, settings, kit=kit, clock=clock, recording_path=recording_path)
            )
        except WorkerError:
            result_path.unlink(missing_ok=True)
            raise

        overseer: Overseer | None = None

        def progressed(progress: Progress) -> None:
            thread_cpu.look(loop.time())
            if overseer is not None:
                overseer.look()
            if on_progress is not None:
                told = replace(progress, outputs=[*progress.outputs, *outputs.progress()])
                on_progress(told)

        job = Job(
            spec,
            room=room,
            kit=kit,
            clock=clock,
            sinks=outputs.sinks,
            options=JobOptions(
                connect_timeout_s=settings.room.connect_timeout_s,
                grace_s=settings.stop.grace_s,
                decoder_threads=settings.video.decoder_threads,
                max_playout_delay_ms=settings.room.max_playout_delay_ms,
            ),
            on_progress=progressed,
            plan=outputs.plan,
            keyframes=outputs.keyframes,
        )
        if settings.metrics.port:
            # Only who is scraped pays for importing a web server.
            from worker.metrics.server import serve_metrics

            await stack.enter_async_context(
                serve_metrics(settings.metrics.port, lambda: _numbers(job, outputs))
            )
        if outputs.spool is not None and not spec.is_rehearsal:
            await stack.enter_async_context(running(_recover(settings), "recover"))
        overseer = await stack.enter_async_context(overseen(job, outputs, settings))
        error = await _run(job)
        if not job.was_aborted:
            reason = job.lifecycle.reason or StopReason.INTERNAL_ERROR
            await outputs.end(reason.value, clock)
        result = report(job) | {"process": process_facts(thread_cpu)}
    try:
        write_result(result_path, result)
    except OSError as exc:
        error = error or DestinationError(f"the result cannot be written: {exc.strerror}")
    return Outcome(
        result=result,
        result_path=result_path,
        recording_path=recording_path if spec.record is None else None,
        reason=job.lifecycle.reason,
        aborted=job.was_aborted,
        error=error,
    )


async def _run(job: Job) -> WorkerError | None:
    """Run *job* to its end; what went wrong, if anything did."""
    signals = StopSignals(job)
    try:
        with signals:
            await job.run()
    except asyncio.CancelledError:
        # Only the second signal may be swallowed; any other cancellation is the caller's.
        if not signals.used_up():
            raise
        log.warning("job aborted", extra={"job": job.spec.job_id})
    except WorkerError as exc:
        return exc
    except Exception as exc:  # job boundary: a bug ends this job, with a result and an exit code
        log.exception("job failed", extra={"job": job.spec.job_id})
        return InternalError(job.error or type(exc).__name__)
    return None


async def _recover(settings: Settings) -> None:
    try:
        for each in await recover_spool(settings):
            log.info(
                "recovered",
                extra={"file": each.name, "location": each.location, "error": each.error},
            )
    except Exception:  # recovery boundary: others' leftovers must not end this job
        log.exception("recovery failed")


def _numbers(job: Job, outputs: Outputs) -> JobNumbers:
    counters = None if job.video is None else job.video.counters
    tracks = [*job.room.statistics().values(), job.intake.departed.totals]
    now, outbox = job.progress(), outputs.outbox
    return JobNumbers(
        state=now.state,
        recorded_s=now.recorded_s,
        participants=now.participants,
        playout_delay_s=job.delay.now_ns / NS_PER_S,
        frames=now.frames,
        late_frames=0 if counters is None else counters.late,
        repeated_frames=0 if counters is None else counters.duplicated,
        left_out_frames=0 if counters is None else counters.left_out,
        datagrams_dropped=job.room.datagrams_dropped(),
        packets_lost=sum(track.packets_lost for track in tracks),
        packets_recovered=sum(track.packets_recovered for track in tracks),
        outputs=[*now.outputs, *outputs.progress()],
        callbacks_pending=0 if outbox is None else outbox.pending,
        callbacks_given_up=0 if outbox is None else outbox.given_up,
    )
