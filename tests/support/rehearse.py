"""Runs a whole job in virtual time: rehearsal room, real codecs, real file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.look import Recording
from worker.api.wire.job_document import parse_job_document
from worker.app import run_job
from worker.settings import Settings
from worker.testroom.virtual_loop import run_virtual


@dataclass(frozen=True)
class Rehearsed:
    """What a job left behind."""

    recording: Recording
    result: Mapping[str, Any]

    def participant(self, user_id: str) -> Mapping[str, Any]:
        """The result's entry of one user."""
        return next(p for p in self.result["participants"] if p["user_id"] == user_id)


def rehearse(
    directory: Path,
    scenario: str,
    *,
    template: str = "640x480_30_1000",
    layout: str = "nine_grids_view",
    seconds: float = 10,
    name: str = "recording",
    mix: Mapping[str, Any] | None = None,
    **document: Any,
) -> Rehearsed:
    """Record *scenario* (TOML text) for *seconds*; *mix* and *document* add to the job document."""
    job = {
        "room": {"kind": "rehearsal", "scenario": scenario},
        "mix_param": {
            "room_id": "rehearsal",
            "encode_template": template,
            **({} if template == "audio_only" else {"layout_template": layout}),
            **(mix or {}),
        },
        "output": {"directory": str(directory), "name": name},
        "max_duration_s": seconds,
        **document,
    }
    outcome = run_virtual(run_job(parse_job_document(json.dumps(job)), Settings()))
    assert outcome.error is None, outcome.error
    assert outcome.recording_path is not None
    return Rehearsed(Recording(outcome.recording_path), outcome.result)


def people(count: int, *, defaults: str = "", extra: str = "") -> str:
    """A scenario of *count* people called user-0, user-1, …; colour and tone follow the number."""
    lines = [defaults]
    lines += [f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n}\n' for n in range(count)]
    return "\n".join([*lines, extra])
