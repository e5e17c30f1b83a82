"""A job with a record rule in virtual time: rehearsal room, real codecs, files in a directory."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.fakes.courier import FakeCourier, FakeRecordEvents
from tests.support.look import Recording
from worker.api.wire.job_document import parse_job_document
from worker.core.record.plan import RecordPlan
from worker.core.record.rule import RecordFormat, RecordRule
from worker.core.spec import RehearsalSpec
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions
from worker.engine.report import report
from worker.media.kit import PyavKit
from worker.ports import FileCompleted, FileStarted, Room
from worker.sinks.files import FilesSink
from worker.sinks.hls_file import hls_files
from worker.sinks.mp4_file import mp4_files
from worker.sinks.recording import RecordingSink
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.virtual_loop import run_virtual

UNIX_OFFSET_S = 1_619_600_227.0
"""2021-04-28T08:57:07Z at instant 0 of the job's clock."""


@dataclass(frozen=True)
class Recorded:
    """What a job left behind."""

    whole: Recording
    """The same encode, never cut."""
    store: Path
    spool: Path
    courier: FakeCourier
    events: FakeRecordEvents
    result: Mapping[str, Any]

    def completed(self, record_format: str = "MP4") -> list[FileCompleted]:
        return [
            event
            for event in self.events.published
            if isinstance(event, FileCompleted) and event.file.record_format == record_format
        ]

    def started(self, record_format: str = "MP4") -> list[FileStarted]:
        return [
            event
            for event in self.events.published
            if isinstance(event, FileStarted) and event.file.record_format == record_format
        ]

    def recordings(self, record_format: str = "MP4") -> list[Recording]:
        """The files in the store, in the order they were begun."""
        files = sorted((each.file for each in self.completed(record_format)), key=_start)
        return [Recording(self.store / file.key) for file in files]

    def output(self, name: str) -> Mapping[str, Any]:
        return next(each for each in self.result["outputs"] if each["name"] == name)


def _start(file: Any) -> float:
    return file.start_s


def record_by_rule(
    directory: Path,
    scenario: str,
    *,
    formats: tuple[str, ...] = ("MP4",),
    seconds: float = 10,
    template: str = "480x360_15_320",
    mp4: Mapping[str, Any] | None = None,
    hls: Mapping[str, Any] | None = None,
    change_rule: Callable[[RecordRule], RecordRule] = lambda rule: rule,
    refusal: Any = lambda what, key: None,
    prepare: Callable[[FakeCourier], None] = lambda courier: None,
    room: Callable[[LoopClock], Room] | None = None,
    kit: PyavKit | None = None,
    patience_s: float = 20,
) -> Recorded:
    """Record *scenario*; *change_rule* may make cycles shorter than documents can."""
    document = {
        "job_id": "job",
        "room": {"kind": "rehearsal", "scenario": scenario},
        "mix_param": {
            "room_id": "rehearsal",
            "encode_template": template,
            **({} if template == "audio_only" else {"layout_template": "nine_grids_view"}),
        },
        "output": {"directory": str(directory)},
        "max_duration_s": seconds,
        "app_id": "app",
        "stream_name": "stream",
        "record": {
            "obs_addr": {"location": "here", "bucket": "bucket", "object": "records/"},
            "record_formats": list(formats),
            "mp4_config": dict(mp4 or {}),
            "hls_config": dict(hls or {}),
        },
    }
    spec = parse_job_document(json.dumps(document))
    assert spec.record is not None
    rule = change_rule(spec.record)
    spec = replace(spec, record=rule)
    spool, store = directory / "spool", directory / "store"
    spool.mkdir()
    media = kit or PyavKit()

    async def main() -> Recorded:
        clock = LoopClock(asyncio.get_running_loop())
        courier, events = FakeCourier(store, refusal=refusal), FakeRecordEvents()
        prepare(courier)
        template = spec.mix.template
        plan = RecordPlan(rule, fps=template and template.fps, unix_offset_s=UNIX_OFFSET_S)
        opens = {
            RecordFormat.MP4: lambda files: mp4_files(spool, media.mp4, courier),
            RecordFormat.HLS: lambda files: hls_files(
                spool, media.segments, courier, slice_s=files.slice_s
            ),
        }
        sinks = [
            FilesSink(
                job_id=spec.job_id,
                record_format=each,
                plan=plan,
                names=rule.names(each, app_id=spec.app_id, stream=spec.stream_name),
                open_file=opens[each](files),
                events=events,
                location="file:///store",
                patience_s=patience_s,
            )
            for each, files in rule.files.items()
        ]
        assert isinstance(spec.room, RehearsalSpec)
        job = Job(
            spec,
            room=RehearsalRoom(parse_scenario(scenario), clock) if room is None else room(clock),
            kit=media,
            clock=clock,
            sinks=[RecordingSink(directory / "whole.mp4", media.mp4), *sinks],
            options=JobOptions(connect_timeout_s=10),
            plan=plan,
        )
        await job.run()
        return Recorded(
            Recording(directory / "whole.mp4"), store, spool, courier, events, report(job)
        )

    return run_virtual(main())
