"""A job's line to the control plane that started it: what it is told, and how orders are obeyed."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from worker.api.wire.mix_param import MixParam
from worker.api.wire.mix_spec import mix_spec
from worker.api.wire.refusal import refuse
from worker.app.background import running
from worker.app.outputs import Outputs
from worker.core.layout.scene import Scene, Tile
from worker.core.lifecycle import State, StopReason
from worker.core.spec import MixSpec
from worker.engine.job import Job
from worker.errors import InvalidField
from worker.jobs.channel_client import ControlLine
from worker.jobs.channel_messages import Desired, Told
from worker.net.tls import verified_tls
from worker.ports import OutputProgress
from worker.settings import Settings

log = logging.getLogger(__name__)

LAST_WORDS_S = 3.0
SOLE_WITNESS_S = 3600.0
"""The same for an end of which nobody but the worker knows: a control plane that comes back later
would take the job for one that goes on, and start another worker."""
_EXPECTED = (None, StopReason.TENANT_STOP, StopReason.SIGNAL, StopReason.INTERNAL_ERROR)
"""Ends that are on record already, or not those of the job."""


@dataclass(slots=True)
class Overseer:
    """What the control plane knows of a job, and what it wants of it."""

    job: Job
    outputs: Outputs
    mix: MixSpec
    final: Told | None = None
    warnings: list[str] = field(default_factory=list)
    line: ControlLine | None = None
    _seen: State = State.INIT

    def look(self) -> None:
        """To be called now and then: a change of the job's state is told at once."""
        if self.line is not None and self._seen is not self.job.lifecycle.state:
            self._seen = self.job.lifecycle.state
            self.line.news()

    def told(self) -> Told:
        """The state of this moment."""
        if self.final is not None:
            return self.final
        job = self.job
        return Told(
            state=job.lifecycle.state,
            reason=job.lifecycle.reason,
            description=_description(job, self.warnings),
            report=_report(job, self.outputs),
        )

    async def obey(self, desired: Desired) -> None:
        """Bring the job to what is *desired*; nothing happens to what is so already."""
        if desired.is_stopped:
            self.job.stop(StopReason.TENANT_STOP)
        if desired.mix_param is None or self.job.lifecycle.state is State.STOPPED:
            return
        try:
            mix = _mix(desired.mix_param)
        except InvalidField as exc:
            # Checked before it was stored: an older worker may not know what a newer server does.
            log.error("layout refused", extra={"why": str(exc)})
            self.warnings = [f"the layout was not changed: {exc}"]
            return
        if mix != self.mix:
            self.mix = mix
            await self.job.revise(mix)

    async def still(self) -> bytes:
        """The next frame as a JPEG; empty for a job without video."""
        return b"" if self.job.video is None else await self.job.video.still()


@asynccontextmanager
async def overseen(job: Job, outputs: Outputs, settings: Settings) -> AsyncIterator[Overseer]:
    """Inside, the control plane that started the job, if one did, watches over it."""
    control = job.spec.control
    overseer = Overseer(job, outputs, job.spec.mix)
    if control is None:
        yield overseer
        return
    tls = None
    if control.url.startswith("https://"):
        tls = verified_tls(Path(settings.net.ca_file) if settings.net.ca_file else None)
    line = overseer.line = ControlLine(
        control,
        job_id=job.spec.job_id,
        tls=tls,
        told=overseer.told,
        obey=overseer.obey,
        still=overseer.still,
    )
    async with running(line.run(), "control"):
        yield overseer
        overseer.final = Told(
            state=State.STOPPED,
            reason=job.lifecycle.reason,
            description=_description(job, overseer.warnings),
            is_final=True,
            report=_report(job, outputs),
        )
        patience_s = LAST_WORDS_S if job.lifecycle.reason in _EXPECTED else SOLE_WITNESS_S
        if not await line.take_leave(patience_s):
            log.warning("the control plane does not know the end of the job")


def _mix(param: object) -> MixSpec:
    try:
        return mix_spec(MixParam.model_validate(param))
    except ValidationError as exc:
        raise refuse(exc, tagged=()) from None


def _description(job: Job, warnings: Sequence[str]) -> str:
    """What a person should know, worst first; empty when all is well."""
    down = [
        f"{output['name']}: {output['error']}"
        for output in _outputs(job.progress().outputs)
        if output["error"]
    ]
    return "; ".join([*([job.error] if job.error else []), *down, *warnings, *job.warnings])


def _report(job: Job, outputs: Outputs) -> dict[str, Any]:
    """For people; the keys are those of `jobs.ports.Watch`."""
    progress, scene = job.progress(), job.scene
    here = {person.participant_id: person for person in job.intake.people()}
    counters = None if job.video is None else job.video.counters
    return {
        "state": progress.state.value,
        "recorded_s": round(progress.recorded_s, 1),
        "frames": progress.frames,
        "late_frames": 0 if counters is None else counters.late,
        "participants": [
            {"user_id": person.user_id, "name": person.display_name} for person in here.values()
        ],
        "outputs": _outputs([*progress.outputs, *outputs.progress()]),
        "canvas": None
        if scene is None
        else {"width_px": scene.canvas.width, "height_px": scene.canvas.height},
        "tiles": [] if scene is None else [_tile(tile, scene, job) for tile in scene.tiles],
        "speaking": sorted({here[voice].user_id for voice in job.sound.speaking if voice in here}),
        "warnings": list(job.warnings),
    }


def _outputs(outputs: Sequence[OutputProgress]) -> list[dict[str, Any]]:
    return [
        {
            "name": output.name,
            "state": output.state,
            "bytes": output.bytes,
            "pending_bytes": output.pending_bytes,
            "lag_s": round(output.lag_s, 1),
            "error": output.error,
        }
        for output in outputs
    ]


def _tile(tile: Tile, scene: Scene, job: Job) -> dict[str, Any]:
    width, height = scene.canvas.width, scene.canvas.height
    video = None if tile.track_id is None else job.intake.video.get(tile.track_id)
    return {
        "x": tile.rect.x / width,
        "y": tile.rect.y / height,
        "width": tile.rect.width / width,
        "height": tile.rect.height / height,
        "user_id": tile.user_id,
        "source": None if video is None else video.track.source.value,
    }
