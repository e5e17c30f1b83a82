"""The newcomer's first minute: a room, synthetic people, a job, an MP4 and a picture of it."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker.api.wire.job_document import parse_job_document
from worker.app import Outcome, run_job
from worker.cli import console
from worker.cli.casting import cast_process
from worker.cli.exits import Exit, exit_for_outcome
from worker.core.spec import JobSpec
from worker.errors import InvalidField
from worker.media.contact_sheet import contact_sheet
from worker.media.facts import recording_facts
from worker.settings import Settings
from worker.testroom.server import serve_room
from worker.testroom.standard_scenario import standard_scenario
from worker.testroom.virtual_loop import run_virtual

LAYOUTS = {
    "gallery": "nine_grids_view",
    "share-left": "screen_share_left",
    "share-right": "screen_share_right",
}
ROOM = "demo"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asked for."""

    participants: int
    layout: str
    template: str
    seconds: float
    scenario: Path | None
    output: Path
    fast: bool


def run_demo(options: DemoOptions, settings: Settings) -> Exit:
    """Record the demo and print what came out. Raises `WorkerError`."""
    if options.layout not in LAYOUTS:
        raise InvalidField("--layout", f"is not one of {', '.join(LAYOUTS)}")
    scenario = _scenario(options)
    if options.fast:
        spec = _spec(options, {"kind": "rehearsal", "scenario": scenario})
        with console.progress(options.seconds) as show:
            outcome = run_virtual(run_job(spec, settings, on_progress=show))
    else:
        outcome = asyncio.run(_live(options, settings, scenario))
    _show(outcome)
    return exit_for_outcome(outcome)


async def _live(options: DemoOptions, settings: Settings, scenario: str) -> Outcome:
    async with serve_room() as address, cast_process(scenario, url=address.ws_url, room_id=ROOM):
        spec = _spec(options, {"kind": "testroom", "url": address.ws_url})
        with console.progress(options.seconds) as show:
            return await run_job(spec, settings, on_progress=show)


def _scenario(options: DemoOptions) -> str:
    if options.scenario is None:
        return standard_scenario(
            participants=options.participants,
            seconds=options.seconds,
            share=options.layout != "gallery",
        )
    try:
        return options.scenario.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidField(str(options.scenario), "cannot be read") from exc


def _spec(options: DemoOptions, room: dict[str, str]) -> JobSpec:
    started = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return parse_job_document(
        json.dumps(
            {
                "room": room,
                "mix_param": {
                    "room_id": ROOM,
                    "encode_template": options.template,
                    "layout_template": LAYOUTS[options.layout],
                },
                "output": {
                    "directory": str(options.output.absolute()),
                    "name": f"demo-{started}",
                },
                "max_duration_s": options.seconds,
            }
        )
    )


def _show(outcome: Outcome) -> None:
    assert outcome.recording_path is not None, "a demo has no record rule"
    recorded = recording_facts(outcome.recording_path)
    sheet = outcome.recording_path.with_suffix(".png")
    rows = {
        "recording": str(outcome.recording_path),
        "result": str(outcome.result_path),
        "duration": f"{recorded.duration_s:.3f} s",
    }
    if recorded.video_size is not None:
        contact_sheet(outcome.recording_path, sheet, columns=4, rows=3)
        video = outcome.result["video"]
        rows |= {
            "video": f"{recorded.video_size.width}x{recorded.video_size.height}, "
            f"{recorded.frames} frames, {recorded.bitrate_kbps:.0f} kbit/s in all",
            "late frames": str(video["late_frames"]),
            "contact sheet": str(sheet),
        }
    rows["participants"] = ", ".join(
        person["name"] or person["user_id"] for person in outcome.result["participants"]
    )
    console.print_facts("Recorded", rows)
