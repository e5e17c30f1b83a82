"""The composition root: settings and a job become adapters, an engine and a result file."""

import asyncio
import json
import logging
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.core.lifecycle import StopReason
from worker.core.spec import JanusSpec, JobSpec, RehearsalSpec, TestRoomSpec
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions, Progress
from worker.engine.report import report
from worker.engine.thread_cpu import ThreadCpu
from worker.errors import DestinationError, InternalError, WorkerError
from worker.media.encode import EncoderSettings
from worker.media.kit import PyavKit
from worker.ports import Clock, Room
from worker.rooms.ice import IceServer, IceSettings
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.janus_link import JanusAccess
from worker.rooms.janus_roster import JanusNaming
from worker.rooms.mesh import MeshRoom
from worker.settings import Settings
from worker.sinks.recording import RecordingSink

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, for the exit code and for people."""

    result: dict[str, Any]
    result_path: Path
    recording_path: Path
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

    Raises `DestinationError` before anything is joined when the directory cannot be written or
    the recording exists already.
    """
    clock = LoopClock(asyncio.get_running_loop())
    room = _room(spec, settings, clock)
    recording_path, result_path = _claim(spec)
    kit = PyavKit(
        EncoderSettings(
            preset=settings.video.preset, threads=settings.video.encoder_threads or None
        )
    )
    loop, thread_cpu = asyncio.get_running_loop(), ThreadCpu()

    def progressed(progress: Progress) -> None:
        thread_cpu.look(loop.time())
        if on_progress is not None:
            on_progress(progress)

    job = Job(
        spec,
        room=room,
        kit=kit,
        clock=clock,
        sinks=[RecordingSink(recording_path, kit.mp4)],
        options=JobOptions(
            connect_timeout_s=settings.room.connect_timeout_s,
            grace_s=settings.stop.grace_s,
            decoder_threads=settings.video.decoder_threads,
            max_playout_delay_ms=settings.room.max_playout_delay_ms,
        ),
        on_progress=progressed,
    )
    error: WorkerError | None = None
    signals = StopSignals(job)
    try:
        with signals:
            await job.run()
    except asyncio.CancelledError:
        # Only the second signal may be swallowed; any other cancellation is the caller's.
        if not signals.used_up():
            raise
        log.warning("job aborted", extra={"job": spec.job_id})
    except WorkerError as exc:
        error = exc
    except Exception as exc:  # job boundary: a bug ends this job, with a result and an exit code
        log.exception("job failed", extra={"job": spec.job_id})
        error = InternalError(job.error or type(exc).__name__)
    result = report(job) | {"process": _process_facts(thread_cpu)}
    try:
        _write_result(result_path, result)
    except OSError as exc:
        error = error or DestinationError(f"the result cannot be written: {exc.strerror}")
    return Outcome(
        result=result,
        result_path=result_path,
        recording_path=recording_path,
        reason=job.lifecycle.reason,
        aborted=job.was_aborted,
        error=error,
    )


class StopSignals:
    """While inside, the first stop signal drains the job and the second cancels its task."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._seen = 0
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._received)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)

    def used_up(self) -> bool:
        """Whether it was the second signal that cancelled the task; takes that back."""
        if self._seen < 2 or self._task is None:
            return False
        return self._task.uncancel() == 0

    def _received(self) -> None:
        self._seen += 1
        if self._seen == 1:
            self._job.stop(StopReason.SIGNAL)
        elif self._seen == 2 and self._task is not None:
            self._task.cancel()


def _process_facts(thread_cpu: ThreadCpu) -> dict[str, Any]:
    """What this process has used so far; a worker runs one job, so this is the job's cost."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "cpu_s": round(cpu_s, 2),
        "peak_memory_mb": round(_peak_memory_mb()),
        "threads": thread_cpu.by_kind(cpu_s),
    }


def _peak_memory_mb() -> float:
    """The most this process ever had resident.

    Not `ru_maxrss`, which begins with what the process had that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    peak_kb = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return int(peak_kb) / 1024


def _room(spec: JobSpec, settings: Settings, clock: Clock) -> Room:
    match spec.room:
        case TestRoomSpec(url):
            return MeshRoom(
                url=url,
                room_id=spec.mix.room_id,
                user_id=f"mixworker-{spec.job_id}"[:64],
                clock_ns=clock.now_ns,
                ice=_ice(settings),
            )
        case JanusSpec() as janus:
            return JanusRoom(
                url=janus.url,
                entry=JanusEntry(janus.room, janus.pin, janus.token, janus.display_name),
                clock_ns=clock.now_ns,
                access=JanusAccess(janus.api_secret, janus.token),
                naming=JanusNaming(janus.user_id_is_display, janus.screen_pattern),
                ice=_ice(settings),
            )
        case RehearsalSpec(scenario):
            # Only rehearsals pay for importing the synthetic people.
            from worker.testroom.rehearsal import RehearsalRoom
            from worker.testroom.scenario_file import parse_scenario

            return RehearsalRoom(parse_scenario(scenario), clock)


def _ice(settings: Settings) -> IceSettings:
    """Without addresses the choice is left to the room."""
    ice = settings.ice
    secret = ice.secret() or None
    return IceSettings(
        host_addresses=ice.host_addresses or None,
        servers=tuple(IceServer(url, ice.username or None, secret) for url in ice.servers),
        relay_only=ice.relay_only,
    )


def _claim(spec: JobSpec) -> tuple[Path, Path]:
    recording_path = spec.directory / f"{spec.name}.mp4"
    result_path = spec.directory / f"{spec.name}.json"
    try:
        spec.directory.mkdir(parents=True, exist_ok=True)
        if recording_path.exists() or result_path.exists():
            raise DestinationError(f"{spec.name} exists already in the output directory")
        # Claimed at once: a second job of the same name must not get as far as recording.
        result_path.touch(exist_ok=False)
    except OSError as exc:
        raise DestinationError(f"the output directory cannot be written: {exc.strerror}") from exc
    return recording_path, result_path


def _write_result(path: Path, result: dict[str, Any]) -> None:
    """Whole or not at all: a reader never sees half a result."""
    temporary = path.with_suffix(".json.part")
    temporary.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
