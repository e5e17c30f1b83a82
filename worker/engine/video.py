"""The video lane: one frame per tick, composed a few ticks at a time, encoded beside the next.

Handing work to a thread and back costs as much as scaling a small tile, and after each pause the
caches are cold: the longer a batch, the less CPU its frames take.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.layout.scene import Scene
from worker.core.layout.visible import visible_videos
from worker.core.playoutdelay import PlayoutDelay
from worker.core.stepdown import Step, step_down
from worker.core.timing import NS_PER_MS, NS_PER_S, tick_ns
from worker.engine.director import Director
from worker.engine.ingest import VideoIngest
from worker.engine.mailbox import Mailbox, Overflow
from worker.ports import (
    Canvas,
    Clock,
    Compositor,
    EncodedPacket,
    Picture,
    VideoEncoder,
    VideoStream,
)

log = logging.getLogger(__name__)

BATCH_NS = 270 * NS_PER_MS
"""Ticks that are composed in one call fall into such a span: eight at 30 fps, four at 15."""

ENCODE_QUEUE = 1
"""Batches waiting for the encoder; when it is full, composing waits and ticks get late."""


@dataclass(slots=True)
class VideoCounters:
    """What became of the ticks of one job."""

    frames: int = 0
    late: int = 0
    """Composing of their batch began more than one frame period after its instant."""
    duplicated: int = 0
    """Repeated instead of composed, to catch up."""
    left_out: int = 0
    """Not encoded at all, far behind: the frame before lasts longer."""
    first_live_frame: int | None = None
    """First tick that showed a decoded picture."""
    worst_lag_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """One tick, ready to be composed."""

    tick: int
    scene: Scene
    pictures: Mapping[TrackId, Picture]
    is_repeated: bool
    """Shows the frame before once more."""
    keyframe: bool


_Composed = tuple[int, Canvas, bool]
"""A tick, its picture, and whether it must be a keyframe."""


class VideoLane:
    """Runs from tick 0 to the tick the job ends at; `end` may be set while it runs."""

    def __init__(
        self,
        *,
        clock: Clock,
        director: Director,
        tracks: Mapping[TrackId, VideoIngest],
        compositor: Compositor,
        encoder: VideoEncoder,
        fps: int,
        deliver: Callable[[Sequence[EncodedPacket]], Awaitable[None]],
        wants_keyframe: Callable[[int], bool] = lambda tick: False,
        still_of: Callable[[Canvas], bytes] = lambda canvas: b"",
    ) -> None:
        """*wants_keyframe* is asked for every tick once, in order, on the loop's thread.

        Everything that has happened in the room up to that tick is known then. *still_of* makes
        a picture for people, on the encode thread.
        """
        self._clock = clock
        self._director = director
        self._tracks = tracks
        self._compositor = compositor
        self._encoder = encoder
        self.fps = fps
        self._deliver = deliver
        self._wants_keyframe = wants_keyframe
        self._still_of = still_of
        self._still: asyncio.Future[bytes] | None = None
        self._batch = max(1, BATCH_NS * fps // NS_PER_S)
        self._composed: Mailbox[Sequence[_Composed]] = Mailbox(ENCODE_QUEUE, Overflow.WAIT)
        self._compose_thread = ThreadPoolExecutor(1, "compose")
        self._encode_thread = ThreadPoolExecutor(1, "encode")
        self._scene: Scene | None = None
        self._coming_scene: Scene | None = None
        self._seen: frozenset[TrackId] = frozenset()
        self._coming: frozenset[TrackId] = frozenset()
        self._came: frozenset[TrackId] = frozenset()
        """What was coming at any time since the last tidying; it may be on its way still."""
        self._gone: frozenset[TrackId] = frozenset()
        """What went out of sight since the last tidying; it may be back in the same batch."""
        self.end_tick: int | None = None
        self.counters = VideoCounters()

    @property
    def stream(self) -> VideoStream:
        """What muxers must know of the video."""
        return self._encoder.stream

    async def still(self) -> bytes:
        """A picture of the next frame that is encoded; whoever asks meanwhile gets the same."""
        if self._still is None:
            self._still = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._still)

    async def run(self, origin_ns: int, delay: PlayoutDelay) -> None:
        """Compose tick k not before origin + k/fps + delay, until `end_tick`; then flush."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._compose_all(origin_ns, delay), name="video:compose")
                group.create_task(self._encode_all(), name="video:encode")
        finally:
            # Never waited for: a cancelled job must not hang on a codec call in flight, and the
            # threads end with it.
            self._compose_thread.shutdown(wait=False)
            self._encode_thread.shutdown(wait=False)

    async def _compose_all(self, origin_ns: int, delay: PlayoutDelay) -> None:
        loop = asyncio.get_running_loop()
        first = 0
        await self._clock.sleep_until_ns(origin_ns + delay.now_ns - BATCH_NS)
        self._prepare(origin_ns)
        while self.end_tick is None or first < self.end_tick:
            due_ns = origin_ns + tick_ns(first + self._batch - 1, self.fps) + delay.now_ns
            await self._clock.sleep_until_ns(due_ns)
            end = first + self._batch
            if self.end_tick is not None:
                end = min(end, self.end_tick)
            lag_ns = self._clock.now_ns() - due_ns
            self._count(lag_ns, max(0, end - first))
            step = step_down(lag_ns)
            next_ns = origin_ns + tick_ns(end, self.fps)
            self._prepare(next_ns)
            ticks = range(first, end)
            frames = [f for tick in ticks if (f := self._frame(tick, origin_ns, step)) is not None]
            self._prepare(next_ns)  # what this batch put out of sight may be back in the next
            if frames:
                await self._composed.put(
                    await loop.run_in_executor(self._compose_thread, self._compose, frames)
                )
            first += self._batch
        self._composed.close()

    def _frame(self, tick: int, origin_ns: int, step: Step) -> _Frame | None:
        """What tick *tick* shows; None when it is left out."""
        period_ns = tick_ns(1, self.fps)
        room_ns = origin_ns + tick_ns(tick, self.fps)
        scene = self._director.scene_at(room_ns)
        # A frame lasts a period: the picture nearest to its middle is wrong by half a period at
        # most, early or late; a source in step with us sits in the middle, safe from jitter.
        pictures = self._pictures(scene, room_ns + period_ns // 2)
        if tick % self.fps == 0:
            self._tidy(room_ns)
        keyframe = self._wants_keyframe(tick)
        # A file or a connection begins at a keyframe, and the last frame ends them.
        is_edge = keyframe or tick + 1 == self.end_tick
        is_new = is_edge or step.is_new(tick)
        if not is_new and not step.repeats:
            if not self.counters.left_out:
                log.warning("the machine is too slow: frames are left out")
            self.counters.left_out += 1
            return None
        if not is_new:
            self.counters.duplicated += 1
        elif pictures and self.counters.first_live_frame is None:
            self.counters.first_live_frame = tick
        return _Frame(tick, scene, pictures, not is_new, keyframe)

    def _compose(self, frames: Sequence[_Frame]) -> Sequence[_Composed]:
        """On the compose thread."""
        return [
            (
                frame.tick,
                self._compositor.repeat()
                if frame.is_repeated
                else self._compositor.compose(frame.scene, frame.pictures),
                frame.keyframe,
            )
            for frame in frames
        ]

    def _count(self, lag_ns: int, ticks: int) -> None:
        self.counters.worst_lag_ms = max(self.counters.worst_lag_ms, lag_ns / 1e6)
        if lag_ns > tick_ns(1, self.fps):
            self.counters.late += ticks

    def _pictures(self, scene: Scene, room_ns: int) -> dict[TrackId, Picture]:
        """The newest picture of everything in sight; what is not costs nothing."""
        if scene is not self._scene:
            before = self._seen
            self._scene, self._seen = scene, frozenset(visible_videos(scene))
            gone = before - self._seen - self._coming
            self._came -= gone
            self._gone |= gone
            self._hide(gone, room_ns)
        pictures: dict[TrackId, Picture] = {}
        for track_id in self._seen:
            ingest = self._tracks.get(track_id)
            if ingest is not None and (picture := ingest.show(room_ns)) is not None:
                pictures[track_id] = picture
        return pictures

    def _prepare(self, room_ns: int) -> None:
        """Have decoded what is in sight or coming into it, for all of a batch at once."""
        scene = self._director.coming_scene
        if scene is not self._coming_scene:
            self._coming_scene, self._coming = scene, frozenset(visible_videos(scene))
            self._came |= self._coming
        for track_id in self._came | self._seen:
            ingest = self._tracks.get(track_id)
            if ingest is not None:
                ingest.prepare(room_ns)

    def _tidy(self, room_ns: int) -> None:
        """Once a second: let what is out of sight forget what it does not need."""
        near = self._seen | self._came | self._gone
        self._came, self._gone = self._coming, frozenset()
        self._hide(self._tracks.keys() - near, room_ns)

    def _hide(self, track_ids: Iterable[TrackId], room_ns: int) -> None:
        for track_id in track_ids:
            ingest = self._tracks.get(track_id)
            if ingest is not None:
                ingest.hide(room_ns)

    async def _encode_all(self) -> None:
        loop = asyncio.get_running_loop()
        while (batch := await self._composed.get()) is not None:
            if self._still is not None:
                await self._take_still(batch[0][1])
            packets = await loop.run_in_executor(self._encode_thread, self._encode, batch)
            self.counters.frames += len(batch)
            await self._deliver(packets)
        await self._deliver(await loop.run_in_executor(self._encode_thread, self._encoder.flush))

    async def _take_still(self, canvas: Canvas) -> None:
        asked, self._still = self._still, None
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._encode_thread, self._still_of, canvas)
        if asked is not None and not asked.done():
            asked.set_result(picture)

    def _encode(self, batch: Sequence[_Composed]) -> Sequence[EncodedPacket]:
        """On the encode thread."""
        packets: list[EncodedPacket] = []
        for tick, canvas, keyframe in batch:
            try:
                packets.extend(self._encoder.encode(canvas, tick, keyframe=keyframe))
            finally:
                canvas.release()
        return packets
