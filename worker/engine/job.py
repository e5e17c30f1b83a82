"""One job from joining the room to finished files, in one TaskGroup.

Two roads out. *Drain*: an end is set (stop, idle, duration, room lost), the lanes run to that
instant of room time, encoders flush, sinks finish. *Abort*: the job's task is cancelled, sinks
only leave valid files.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.core.demand import LINGER_NS, Demand
from worker.core.keyframes import KeyframeRequests
from worker.core.layout.scene import Scene
from worker.core.lifecycle import IdleRule, Lifecycle, State, StopReason
from worker.core.playoutdelay import PlayoutDelay
from worker.core.record.plan import RecordPlan
from worker.core.spec import JobSpec, MixSpec
from worker.core.timing import (
    BLOCK_SAMPLES,
    NS_PER_MS,
    NS_PER_S,
    SAMPLE_RATE_HZ,
    samples_for_ticks,
    ticks_until,
)
from worker.engine.decoders import DecoderThreads
from worker.engine.delivery import Delivery
from worker.engine.director import Director
from worker.engine.ingest import LATE_NS
from worker.engine.intake import Intake
from worker.engine.isolate import isolate
from worker.engine.looking import Looking
from worker.engine.sound import LEAD_NS, SoundLane
from worker.engine.video import VideoLane
from worker.errors import DestinationError, InternalError, RoomError, RoomRefused
from worker.ports import (
    Clock,
    EncodedPacket,
    MediaKit,
    OutputProgress,
    Program,
    Room,
    RoomConnected,
    RoomEvent,
    Sink,
    SinkReport,
)

log = logging.getLogger(__name__)

WATCH_NS = 100 * NS_PER_MS
"""How often the end of a job is looked for; also the precision of an idle stop."""
ADAPT_NS = 500 * NS_PER_MS
"""How often the playout delay is compared with what media needs."""
SILENT_NS = NS_PER_S
"""With signalling down, somebody is there as long as media comes at least so often."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the operator, not the job's author, decides."""

    connect_timeout_s: float = 30.0
    grace_s: float = 25.0
    decoder_threads: int = 2
    max_playout_delay_ms: int = 1600


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands, for people."""

    state: State
    recorded_s: float
    participants: int
    frames: int
    outputs: Sequence[OutputProgress] = ()


class Job:
    """Runs once. `stop` and `update` may be called from the loop while it runs."""

    def __init__(
        self,
        spec: JobSpec,
        *,
        room: Room,
        kit: MediaKit,
        clock: Clock,
        sinks: Sequence[Sink],
        options: JobOptions | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        thread_cpu_ns: Callable[[], int] = time.thread_time_ns,
        plan: RecordPlan | None = None,
        keyframes: KeyframeRequests | None = None,
    ) -> None:
        """*thread_cpu_ns* tells the CPU time of the thread that calls it.

        *plan* says where recorded files are cut; it is told who is there, and moved on.
        *keyframes*: where sinks ask for one.
        """
        self.spec = spec
        self.lifecycle = Lifecycle()
        self.warnings: list[str] = []
        self.started_ns = clock.now_ns()
        self.origin_ns: int | None = None
        self.end_ns: int | None = None
        self.was_aborted = False
        self.error: str | None = None
        self.sinks = sinks
        self.room = room
        self._kit = kit
        self._clock = clock
        self._options = options or JobOptions()
        self._on_progress = on_progress
        self._plan = plan
        self._keyframes = keyframes
        self.delay = PlayoutDelay(
            spec.playout_delay_ms * NS_PER_MS,
            most_ns=self._options.max_playout_delay_ms * NS_PER_MS,
            picture_lead_ns=LATE_NS,
            sound_lead_ns=LEAD_NS,
        )
        self._delay_checked_ns = self.started_ns
        self._set_patience()
        self._idle = IdleRule(spec.mix.max_idle_s)
        self._joined_or_ended = asyncio.Event()
        self.delivery = Delivery(sinks)
        self._decoder_threads = DecoderThreads(self._options.decoder_threads)
        self._director: Director | None = None
        self.video: VideoLane | None = None
        template = spec.mix.template
        if template is not None:
            self._director = Director(spec.mix, template.size)
        self.intake = Intake(
            clock=clock,
            kit=kit,
            schedule=self._schedule,
            request_keyframe=room.request_keyframe,
            decoder_threads=self._decoder_threads,
            thread_cpu_ns=thread_cpu_ns,
            video=template is not None,
            hears=spec.audio.admits,
            statistics=room.statistics,
            forget=room.forget,
        )
        # What is not looked at any more in the room is shown for a playout delay still.
        most_ms = max(spec.playout_delay_ms, self._options.max_playout_delay_ms)
        self._looking = Looking(
            director=self._director,
            intake=self.intake,
            room=room,
            demand=Demand(LINGER_NS + most_ms * NS_PER_MS),
        )
        self.sound = SoundLane(
            clock=clock,
            tracks=self.intake.audio,
            encoder=kit.audio_encoder(),
            audio=spec.audio,
            deliver=self.delivery.send if template is not None else self._send_sound,
            rest=room.rest_sound,
        )
        if template is not None and self._director is not None:
            self.video = VideoLane(
                clock=clock,
                director=self._director,
                tracks=self.intake.video,
                compositor=kit.compositor(template.size),
                encoder=kit.video_encoder(template),
                fps=template.fps,
                deliver=self.delivery.send,
                wants_keyframe=self._wants_keyframe,
                still_of=kit.still,
            )

    @property
    def recorded_ns(self) -> int:
        """Room time recorded so far, or in all once the end is known."""
        if self.origin_ns is None:
            return 0
        end_ns = self._clock.now_ns() if self.end_ns is None else self.end_ns
        return max(0, end_ns - self.origin_ns)

    @property
    def scene(self) -> Scene | None:
        """What the room is like now, as it will be shown; None without video."""
        return None if self._director is None else self._director.coming_scene

    def stop(self, reason: StopReason) -> None:
        """End at this instant of room time, and drain; the first reason stays."""
        self._end(reason, self._clock.now_ns())

    def update(self, mix: MixSpec) -> None:
        """Let a new layout take effect from this instant of room time on."""
        if self._director is not None:
            now_ns = self._clock.now_ns()
            self._director.schedule(now_ns, mix)
            self._looking.follow(now_ns)

    async def revise(self, mix: MixSpec) -> None:
        """`update` once the images of *mix* are there."""
        self._idle.allow(mix.max_idle_s)
        await self._load_images(mix)
        self.update(mix)

    async def run(self) -> None:
        """Record until an end is reached, then drain.

        Raises `RoomError` when there was nothing to record because the room could not be joined,
        `CancelledError` after an abort (files are left valid); anything else is a bug.
        """
        try:
            await self._load_images(self.spec.mix)
            async with asyncio.TaskGroup() as group:
                room = group.create_task(self._attend(), name="room")
                await self._until_connected()
                if self.origin_ns is not None:
                    await self._record()
                room.cancel()
        except asyncio.CancelledError:
            self.was_aborted = True
            self._end(StopReason.SIGNAL, self._clock.now_ns())
            raise
        except Exception as failure:
            self._end(StopReason.INTERNAL_ERROR, self._clock.now_ns())
            self.error = "; ".join(_reasons(failure))
            raise
        finally:
            self._decoder_threads.shutdown()
        if self.origin_ns is None and self.error is not None:
            raise RoomError(self.error)

    async def _load_images(self, mix: MixSpec) -> None:
        """Before anything is shown; broken ones are warnings. On a thread: files may be slow."""
        loop = asyncio.get_running_loop()
        images = mix.backgrounds.images
        thread = ThreadPoolExecutor(1, "images")
        try:
            self.warnings.extend(await loop.run_in_executor(thread, self._kit.load_images, images))
        finally:
            thread.shutdown(wait=False)

    async def _attend(self) -> None:
        """Be in the room until cancelled; a room that ends by itself ends the job."""
        try:
            await self.room.run(self.intake)
        except RoomRefused as exc:
            self.error = str(exc)
            self._end(StopReason.ROOM_REFUSED, self._clock.now_ns())
        except RoomError as exc:
            self.error = str(exc)
            self._end(StopReason.ROOM_LOST, self._clock.now_ns())

    async def _until_connected(self) -> None:
        """Wait for the room, at most the connect timeout; the recording begins there."""
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._joined_or_ended.wait()
        except TimeoutError:
            self.error = "the room could not be joined in time"
            self._end(StopReason.ROOM_LOST, self._clock.now_ns())
        if self.end_ns is None:
            self.origin_ns = self._clock.now_ns()
            if self._plan is not None:
                self._plan.begin(self.origin_ns)
            self.lifecycle.pipeline_up()

    async def _record(self) -> None:
        assert self.origin_ns is not None
        program = Program(
            video=None if self.video is None else self.video.stream, audio=self.sound.stream
        )
        async with asyncio.TaskGroup() as group:
            for sink in self.sinks:
                group.create_task(self._deliver_to(sink, program), name=f"sink:{sink.name}")
            watch = group.create_task(self._watch(self.origin_ns), name="watch")
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self.sound.run(self.origin_ns, self.delay), name="sound")
                if self.video is not None:
                    lanes.create_task(self.video.run(self.origin_ns, self.delay), name="video")
            self.delivery.close()
            watch.cancel()
        self._show_progress()

    async def _deliver_to(self, sink: Sink, program: Program) -> None:
        await isolate(
            sink.name, lambda: sink.run(program, self.delivery.source(sink.name)), self._down
        )

    def _down(self, name: str, error: DestinationError) -> None:
        self.delivery.drop(name, str(error))

    async def _watch(self, origin_ns: int) -> None:
        """Look for a reason to end; after the end, for the end of the grace period."""
        duration_s = self.spec.max_duration_s
        last_ns = None if duration_s is None else origin_ns + round(duration_s * NS_PER_S)
        while True:
            now_ns = self._clock.now_ns()
            if self.end_ns is None:
                self._look_for_end(now_ns, last_ns)
                self._adapt_delay(now_ns)
            elif now_ns > self.end_ns + self.delay.now_ns + round(self._options.grace_s * NS_PER_S):
                raise InternalError("the drain took longer than its grace period")
            self.intake.look_back(now_ns)
            self._looking.follow(now_ns)
            self._note_presence(now_ns)
            self._show_progress()
            await self._clock.sleep_until_ns(now_ns + WATCH_NS)

    def _adapt_delay(self, now_ns: int) -> None:
        """Until the end is known; a stop shall not be drawn out."""
        if now_ns - self._delay_checked_ns < ADAPT_NS:
            return
        self._delay_checked_ns = now_ns
        sound_ns, pictures_ns = self.intake.lateness_ns(now_ns)
        if self.delay.need(
            repair_ns=self.room.wanted_delay_ns(),
            picture_late_ns=pictures_ns,
            sound_late_ns=sound_ns,
        ):
            log.info("playout delay is %d ms now", self.delay.now_ns // NS_PER_MS)
            self._set_patience()

    def _set_patience(self) -> None:
        self.room.set_patience(
            video_ns=self.delay.picture_patience_ns, audio_ns=self.delay.sound_patience_ns
        )

    def _look_for_end(self, now_ns: int, last_ns: int | None) -> None:
        idle_ns = self._idle.observe(
            publisher_present=self.intake.present > 0,
            confirmed=self.intake.is_connected,
            now_ns=now_ns,
        )
        lost_ns = self.intake.last_heard_ns + round(self._options.connect_timeout_s * NS_PER_S)
        # The end of a duration is set a moment ahead, because sound is decoded before it is due.
        if last_ns is not None and now_ns + WATCH_NS >= last_ns:
            self._end(StopReason.MAX_DURATION, last_ns)
        elif idle_ns is not None and now_ns >= idle_ns:
            self._end(StopReason.MAX_IDLE, idle_ns)
        elif not self.intake.is_connected and now_ns >= lost_ns:
            self._end(StopReason.ROOM_LOST, now_ns)

    def _end(self, reason: StopReason, room_ns: int) -> None:
        """Fix the last instant of room time; the first call decides."""
        if self.end_ns is not None:
            return
        self.end_ns = room_ns
        self.lifecycle.stop(reason)
        self._joined_or_ended.set()
        if self.origin_ns is None:
            return
        recorded_ns = max(0, room_ns - self.origin_ns)
        if self.video is None:
            self.sound.end_sample = -(-recorded_ns * SAMPLE_RATE_HZ // NS_PER_S)
        else:
            fps = self.video.fps
            self.video.end_tick = ticks_until(recorded_ns, fps)
            self.sound.end_sample = samples_for_ticks(self.video.end_tick, fps)

    def _schedule(self, room_ns: int, event: RoomEvent) -> None:
        if isinstance(event, RoomConnected):
            self._joined_or_ended.set()
        if self._director is not None:
            self._director.schedule(room_ns, event)
        self._looking.follow(room_ns)
        self._note_presence(room_ns)

    def _note_presence(self, now_ns: int) -> None:
        """Tell the plan whether anybody who may publish is there; absence interrupts files."""
        if self._plan is None:
            return
        is_live = self.intake.is_connected or now_ns - self.intake.last_heard_ns < SILENT_NS
        self._plan.note(now_ns, present=self.intake.present > 0 and is_live)

    def _wants_keyframe(self, tick: int) -> bool:
        is_cut = self._plan is not None and self._plan.advance(tick)
        is_asked = self._keyframes is not None and self._keyframes.take(tick)
        return is_cut or is_asked

    async def _send_sound(self, packets: Sequence[EncodedPacket]) -> None:
        """Without video the sound moves the plan, so that its cuts are known before its packets."""
        if self._plan is not None:
            self._plan.advance(-(-self.sound.encoded_samples // BLOCK_SAMPLES))
        await self.delivery.send(packets)

    def progress(self) -> Progress:
        """Where the job stands; may be asked at any moment."""
        return Progress(
            state=self.lifecycle.state,
            recorded_s=self.recorded_ns / NS_PER_S,
            participants=self.intake.present,
            frames=0 if self.video is None else self.video.counters.frames,
            outputs=[_output(sink.report(), self.delivery.down) for sink in self.sinks],
        )

    def _show_progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress())


def _output(sink: SinkReport, down: Mapping[str, str]) -> OutputProgress:
    return OutputProgress(
        name=sink.name,
        state="down" if sink.name in down else sink.state,
        bytes=sink.bytes,
        pending_bytes=sink.pending_bytes,
        lag_s=sink.lag_s,
        error=sink.error or down.get(sink.name),
    )


def _reasons(failure: BaseException) -> list[str]:
    """One line per leaf of an exception that may be a group."""
    if isinstance(failure, BaseExceptionGroup):
        return [line for leaf in failure.exceptions for line in _reasons(leaf)]
    return [f"{type(failure).__name__}: {failure}"]
