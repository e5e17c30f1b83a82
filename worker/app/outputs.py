"""What a job delivers to: files in a directory or a store, live pushes, and who is told."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from worker.api.wire.callback import CallbackFacts, callback_body
from worker.app import notes
from worker.app.background import running
from worker.app.stores import ANYWHERE, Calls, calls, download_root, open_store, store_address
from worker.core.keyframes import KeyframeRequests
from worker.core.record.naming import FileNames
from worker.core.record.plan import RecordPlan
from worker.core.record.rule import FileRule, RecordFormat, RecordRule
from worker.core.spec import CallbackSpec, ControlSpec, JobSpec
from worker.core.timing import NS_PER_S
from worker.errors import DestinationError, InvalidField
from worker.jobs.channel_messages import EVENTS_PATH
from worker.media.kit import PyavKit
from worker.notify.nobody import Nobody
from worker.notify.outbox import Outbox, open_outbox
from worker.notify.post import HttpPost
from worker.notify.target import CallbackTarget, keep_target
from worker.ports import Clock, OutputProgress, RecordEvents, RecordingOver, Sink
from worker.settings import Settings
from worker.sinks.files import FilesSink
from worker.sinks.hls_file import hls_files
from worker.sinks.mp4_file import mp4_files
from worker.sinks.open_file import OpenFiles
from worker.sinks.recording import RecordingSink
from worker.sinks.rtmp import RtmpSink
from worker.storage.courier import AnnouncedEvents, CourierState, SpoolCourier, open_courier
from worker.storage.spool import JobSpool, Spool

log = logging.getLogger(__name__)

LAST_WORDS_S = 5.0
"""How long the end of a job waits for its callbacks; what is left is sent by the next worker."""
DRAIN_SHARE = 0.8
"""Of the grace period, for files on their way; the rest is for encoders, and for callbacks."""


@dataclass(slots=True)
class Outputs:
    """The outputs of one job; made by `open_outputs`."""

    sinks: Sequence[Sink]
    keyframes: KeyframeRequests | None = None
    plan: RecordPlan | None = None
    spool: JobSpool | None = None
    courier: SpoolCourier | None = None
    outbox: Outbox | None = None

    def progress(self) -> Sequence[OutputProgress]:
        """What is no sink: the way to the store, and callbacks."""
        told = [] if self.courier is None else [_carried(self.courier.state)]
        return told if self.outbox is None else [*told, self.outbox.progress()]

    async def end(self, reason: str, clock: Clock) -> None:
        """Say that the job is over, unless files are left whose completion is still to be told."""
        if self.spool is None:
            return
        if notes.has_files(self.spool):
            try:
                notes.keep_reason(self.spool, reason)
            except DestinationError as exc:  # a full disk: then nobody will know why
                log.warning("reason not kept", extra={"error": str(exc)})
            return
        if self.outbox is not None:
            await self.outbox.publish(RecordingOver(self.spool.directory.name, reason))
            await self.outbox.settle(clock.now_ns() + round(LAST_WORDS_S * NS_PER_S))


@asynccontextmanager
async def open_outputs(
    spec: JobSpec, settings: Settings, *, kit: PyavKit, clock: Clock, recording_path: Path
) -> AsyncIterator[Outputs]:
    """Everything *spec* delivers to. Raises `DestinationError` when the spool is of no use.

    Without a record rule the recording is one file, at *recording_path*.
    """
    fps = None if spec.mix.template is None else spec.mix.template.fps
    keyframes = None if fps is None else KeyframeRequests(fps)
    outputs = Outputs(sinks=[], keyframes=keyframes)
    async with AsyncExitStack() as stack:
        sinks: list[Sink] = []
        events: RecordEvents = Nobody()
        callback = spec.callback
        if spec.control is not None:
            callback = event_receiver(spec.control, spec.job_id)
        calling = calls(settings) if callback is not None or spec.rtmp_urls else None
        if spec.record is not None or callback is not None:
            spool = Spool(Path(settings.spool.directory), floor_bytes=settings.spool.floor_mb << 20)
            outputs.spool = stack.enter_context(spool.claim(_folder(spec)))
            stack.callback(notes.tidy, outputs.spool)
            if callback is not None and calling is not None:
                events = outputs.outbox = await stack.enter_async_context(
                    outbox_in(outputs.spool, callback, _facts(spec, settings), calling, clock)
                )
        if spec.record is None and spec.control is None:
            sinks.append(RecordingSink(recording_path, kit.mp4))
        if spec.record is not None:
            assert outputs.spool is not None
            notes.keep_location(outputs.spool, spec.record.address.location)
            store = await stack.enter_async_context(
                open_store(
                    store_address(spec.record),
                    settings.storage,
                    location=spec.record.address.location,
                )
            )
            outputs.courier = courier = await stack.enter_async_context(
                open_courier(store, outputs.spool.directory, clock=clock, random=Random())
            )
            offset_s = unix_s() - clock.now_ns() / NS_PER_S
            plan = outputs.plan = RecordPlan(spec.record, fps=fps, unix_offset_s=offset_s)
            for record_format, files in spec.record.files.items():
                sinks.append(
                    FilesSink(
                        job_id=spec.job_id,
                        record_format=record_format,
                        plan=plan,
                        names=_names(spec, spec.record, record_format),
                        open_file=_opener(record_format, files, outputs.spool, kit, courier),
                        events=AnnouncedEvents(events, courier),
                        location=store.address,
                        patience_s=DRAIN_SHARE * settings.stop.grace_s,
                    )
                )
        if calling is not None:
            sinks += _pushes(spec, calling, clock, keyframes)
        outputs.sinks = sinks
        yield outputs


@asynccontextmanager
async def outbox_in(
    spool: JobSpool,
    callback: CallbackSpec,
    facts: CallbackFacts,
    calling: Calls,
    clock: Clock,
) -> AsyncIterator[Outbox]:
    """The line of callbacks in a job's spool, being sent while this is open."""
    directory = notes.callbacks(spool)
    keep_target(directory, CallbackTarget(callback, asdict(facts)))
    dialer = ANYWHERE if callback.is_ours else calling.dialer
    post = HttpPost(callback, dialer=dialer, tls=calling.tls, unix_s=unix_s)
    async with (
        open_outbox(
            directory,
            events=callback.events,
            body=partial(callback_body, facts=facts),
            post=post,
            clock=clock,
            unix_s=unix_s,
            rng=Random(),
        ) as outbox,
        running(outbox.run(), "callbacks"),
    ):
        yield outbox


def _folder(spec: JobSpec) -> str:
    """Of each worker of a job its own: one goes on while another's leftovers are delivered."""
    return spec.job_id if spec.control is None else f"{spec.job_id}.{spec.control.attempt}"


def event_receiver(control: ControlSpec, job_id: str) -> CallbackSpec:
    """The control plane as the receiver of a job's callbacks, signed with the worker's token."""
    path = EVENTS_PATH.format(job_id=job_id, attempt=control.attempt)
    return CallbackSpec(f"{control.url}{path}", control.token, is_ours=True)


def _carried(state: CourierState) -> OutputProgress:
    return OutputProgress(
        name="store",
        state="failing" if state.last_error else "uploading" if state.pending_bytes else "stored",
        bytes=state.uploaded_bytes,
        pending_bytes=state.pending_bytes,
        lag_s=round(state.lag_s, 1),
        error=state.last_error,
    )


def unix_s() -> float:
    """The wall clock."""
    return datetime.now(UTC).timestamp()


def _facts(spec: JobSpec, settings: Settings) -> CallbackFacts:
    facts = CallbackFacts(spec.app_id, spec.mix.room_id, spec.stream_name)
    if spec.record is None:
        return facts
    location = spec.record.address.location
    root = download_root(store_address(spec.record), settings.storage, location)
    return replace(facts, obs_location=location, download_root=root)


def _names(spec: JobSpec, rule: RecordRule, record_format: RecordFormat) -> FileNames:
    try:
        return rule.names(record_format, app_id=spec.app_id, stream=spec.stream_name)
    except ValueError as exc:
        raise InvalidField("record.obs_addr.object", str(exc)) from exc


def _opener(
    record_format: RecordFormat,
    files: FileRule,
    spool: JobSpool,
    kit: PyavKit,
    courier: SpoolCourier,
) -> OpenFiles:
    if record_format is RecordFormat.MP4:
        return mp4_files(spool.directory, kit.mp4, courier)
    assert files.slice_s is not None
    return hls_files(spool.directory, kit.segments, courier, slice_s=files.slice_s)


def _pushes(
    spec: JobSpec, calling: Calls, clock: Clock, keyframes: KeyframeRequests | None
) -> list[Sink]:
    return [
        RtmpSink(
            url,
            name=f"rtmp-{number}",
            clock=clock,
            dialer=calling.dialer,
            tls=calling.tls,
            want_keyframe=keyframes.ask if keyframes is not None else lambda: None,
        )
        for number, url in enumerate(spec.rtmp_urls, 1)
    ]
