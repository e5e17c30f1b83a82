"""The video lane: one frame per tick, composed at its instant, encoded beside the next one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.layout.scene import Scene
from worker.core.layout.visible import visible_videos
from worker.core.playoutdelay import PlayoutDelay
from worker.core.timing import NS_PER_S, tick_ns
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

ENCODE_QUEUE = 4
"""Composed frames waiting for the encoder; when it is full, composing waits and ticks get late."""

STEP_DOWN = ((3 * NS_PER_S, 4), (NS_PER_S, 2))
"""Behind by so much, only every so manyth frame is composed, the others repeat it.

A recorder may be late: below a second behind, everything is composed and caught up with later.
"""


@dataclass(slots=True)
class VideoCounters:
    """What became of the ticks of one job."""

    frames: int = 0
    late: int = 0
    """Composing began more than one frame period after its instant."""
    duplicated: int = 0
    """Repeated instead of composed, to catch up."""
    first_live_frame: int | None = None
    """First tick that showed a decoded picture."""
    worst_lag_ms: float = 0.0


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
    ) -> None:
        self._clock = clock
        self._director = director
        self._tracks = tracks
        self._compositor = compositor
        self._encoder = encoder
        self.fps = fps
        self._deliver = deliver
        self._composed: Mailbox[tuple[int, Canvas]] = Mailbox(ENCODE_QUEUE, Overflow.WAIT)
        self._compose_thread = ThreadPoolExecutor(1, "compose")
        self._encode_thread = ThreadPoolExecutor(1, "encode")
        self._scene: Scene | None = None
        self._seen: frozenset[TrackId] = frozenset()
        self.end_tick: int | None = None
        self.counters = VideoCounters()

    @property
    def stream(self) -> VideoStream:
        """What muxers must know of the video."""
        return self._encoder.stream

    async def run(self, origin_ns: int, delay: PlayoutDelay) -> None:
        """Compose tick k at origin + k/fps + delay until `end_tick`; then flush the encoder."""
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
        period_ns = tick_ns(1, self.fps)
        tick = 0
        while self.end_tick is None or tick < self.end_tick:
            room_ns = origin_ns + tick_ns(tick, self.fps)
            due_ns = room_ns + delay.now_ns
            await self._clock.sleep_until_ns(due_ns)
            if self.end_tick is not None and tick >= self.end_tick:
                break
            lag_ns = self._clock.now_ns() - due_ns
            self._count(lag_ns, period_ns)
            scene = self._director.scene_at(room_ns)
            # A frame lasts a period: the picture nearest to its middle is wrong by half a period at
            # most, early or late; a source in step with us sits in the middle, safe from jitter.
            pictures = self._pictures(scene, room_ns + period_ns // 2)
            if tick % self.fps == 0:
                self._tidy(room_ns)
            if tick % _stride(lag_ns) and tick > 0:
                self.counters.duplicated += 1
                canvas = self._compositor.repeat()
            else:
                canvas = await loop.run_in_executor(
                    self._compose_thread, self._compositor.compose, scene, pictures
                )
            if pictures and self.counters.first_live_frame is None:
                self.counters.first_live_frame = tick
            await self._composed.put((tick, canvas))
            tick += 1
        self._composed.close()

    def _count(self, lag_ns: int, period_ns: int) -> None:
        self.counters.worst_lag_ms = max(self.counters.worst_lag_ms, lag_ns / 1e6)
        if lag_ns > period_ns:
            self.counters.late += 1

    def _pictures(self, scene: Scene, room_ns: int) -> dict[TrackId, Picture]:
        """The newest picture of everything in sight; what is not costs nothing."""
        if scene is not self._scene:
            self._scene = scene
            before, self._seen = self._seen, frozenset(visible_videos(scene))
            self._hide(before - self._seen, room_ns)
        pictures: dict[TrackId, Picture] = {}
        for track_id in self._seen:
            ingest = self._tracks.get(track_id)
            if ingest is not None and (picture := ingest.show(room_ns)) is not None:
                pictures[track_id] = picture
        return pictures

    def _tidy(self, room_ns: int) -> None:
        """Once a second: let what is out of sight forget what it does not need."""
        self._hide(self._tracks.keys() - self._seen, room_ns)

    def _hide(self, track_ids: Iterable[TrackId], room_ns: int) -> None:
        for track_id in track_ids:
            ingest = self._tracks.get(track_id)
            if ingest is not None:
                ingest.hide(room_ns)

    async def _encode_all(self) -> None:
        loop = asyncio.get_running_loop()
        while (item := await self._composed.get()) is not None:
            tick, canvas = item
            packets = await loop.run_in_executor(self._encode_thread, self._encode, tick, canvas)
            self.counters.frames += 1
            await self._deliver(packets)
        await self._deliver(await loop.run_in_executor(self._encode_thread, self._encoder.flush))

    def _encode(self, tick: int, canvas: Canvas) -> Sequence[EncodedPacket]:
        try:
            return self._encoder.encode(canvas, tick, keyframe=False)
        finally:
            canvas.release()


def _stride(lag_ns: int) -> int:
    """Every how manyth frame is composed by a lane that is *lag_ns* behind."""
    return next((stride for behind_ns, stride in STEP_DOWN if lag_ns > behind_ns), 1)
