"""One video track from encoded frames to the picture a tick shows.

Frames wait encoded until shortly before their room time (a decoded second of 720p is forty
megabytes, an encoded one a fifth), then go to the track's decoder thread one batch at a time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from worker.core.clockmap import ClockMap
from worker.core.identity import Track
from worker.core.playout import VideoPlayout, hold_ns
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.errors import MediaError
from worker.ports import EncodedFrame, Picture, VideoDecoder

log = logging.getLogger(__name__)

DECODE_LEAD_NS = 100 * NS_PER_MS
"""Frames are decoded this long before they are shown, so that a busy moment costs no frame."""

QUEUE_FRAMES = 300
QUEUE_BYTES = 8 << 20
"""Bounds of the encoded queue; beyond them it is shed to the next keyframe."""

BATCH_FRAMES = 8
"""At most this many frames of a track are at its decoder at once."""

BEHIND_NS = NS_PER_S
"""A decoder this far behind the picture on show gives up and waits for the next keyframe."""


class VideoIngest:
    """Owned by the event loop's thread; only `decoder.decode` runs elsewhere."""

    def __init__(
        self,
        *,
        track: Track,
        clock_map: ClockMap,
        decoder: VideoDecoder,
        executor: Executor,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.track = track
        self.ended_ns: int | None = None
        self.frames_decoded = 0
        self.frames_shed = 0
        self.decode_errors = 0
        self.clock_map = clock_map
        self._decoder = decoder
        self._executor = executor
        self._request_keyframe = request_keyframe
        self._queue: deque[EncodedFrame] = deque()
        self._queue_bytes = 0
        self._popped = 0
        self._keyframes: deque[int] = deque()
        """How many frames were in the queue, ever, before each keyframe that is in it now."""
        self._awaits_keyframe = True
        self._decoding: asyncio.Future[Sequence[tuple[int, Picture]]] | None = None
        self._failure: BaseException | None = None
        self._wanted = True
        self._playout: VideoPlayout[Picture] = VideoPlayout(hold_ns(track.source))

    def facts(self) -> dict[str, int]:
        """Counters for the result."""
        return {
            "frames_decoded": self.frames_decoded,
            "frames_shed": self.frames_shed,
            "frames_shown": self._playout.statistics.shown,
            "decode_errors": self.decode_errors,
        }

    def push(self, frame: EncodedFrame) -> None:
        """Queue a frame that arrived."""
        if self._awaits_keyframe:
            if not frame.keyframe:
                self.frames_shed += 1
                return
            self._awaits_keyframe = False
        if frame.keyframe:
            self._keyframes.append(self._popped + len(self._queue))
        self._queue.append(frame)
        self._queue_bytes += len(frame.data)
        if len(self._queue) > QUEUE_FRAMES or self._queue_bytes > QUEUE_BYTES:
            self._shed()

    def show(self, room_ns: int) -> Picture | None:
        """The picture for room time *room_ns*, and get the next ones decoded."""
        if not self._wanted:
            self._wanted = True
            if self._awaits_keyframe:
                self._request_keyframe()
        self._advance(room_ns)
        return self._playout.pick(room_ns)

    def hide(self, room_ns: int) -> None:
        """Nobody sees the track at *room_ns*: stop decoding, but stay ready to begin at once.

        Kept is everything from the newest keyframe on whose time has come.
        """
        if self._wanted:
            self._wanted = False
            self._playout.clear()
        while len(self._keyframes) > 1:
            ahead = self._keyframes[1] - self._popped
            capture_ns = self._capture_ns(self._queue[ahead])
            if capture_ns is not None and capture_ns > room_ns:
                break
            for _ in range(ahead):
                self._pop()

    def _advance(self, room_ns: int) -> None:
        if self._failure is not None:
            raise self._failure
        if self._decoding is not None:
            return
        batch: list[tuple[int, EncodedFrame]] = []
        while self._queue and len(batch) < BATCH_FRAMES:
            frame = self._queue[0]
            capture_ns = self.clock_map.capture_ns(frame.track_id, frame.epoch, frame.rtp_timestamp)
            if capture_ns is not None and capture_ns > room_ns + DECODE_LEAD_NS:
                break
            too_old = capture_ns is None or capture_ns < room_ns - BEHIND_NS
            if capture_ns is None or (too_old and not frame.keyframe):
                self._shed()
                continue
            self._pop()
            batch.append((capture_ns, frame))
        if batch:
            loop = asyncio.get_running_loop()
            self._decoding = loop.run_in_executor(self._executor, self._decode, batch)
            self._decoding.add_done_callback(self._decoded)

    def _decode(self, batch: Sequence[tuple[int, EncodedFrame]]) -> Sequence[tuple[int, Picture]]:
        """On the decoder thread. What was decoded before a damaged frame is still returned."""
        pictures: list[tuple[int, Picture]] = []
        for capture_ns, frame in batch:
            try:
                picture = self._decoder.decode(frame)
            except MediaError as exc:
                log.info("undecodable frame", extra={"track": frame.track_id, "why": str(exc)})
                raise _Undecodable(pictures) from exc
            if picture is not None:
                pictures.append((capture_ns, picture))
        return pictures

    def _decoded(self, future: asyncio.Future[Sequence[tuple[int, Picture]]]) -> None:
        self._decoding = None
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, _Undecodable):
            pictures = error.pictures
            self.decode_errors += 1
            self._shed()
        elif error is not None:
            self._failure = error
            return
        else:
            pictures = future.result()
        for capture_ns, picture in pictures:
            self.frames_decoded += 1
            self._playout.push(picture, capture_ns)

    def _shed(self) -> None:
        """Drop up to the next queued keyframe, or everything and wait for one."""
        self._drop()
        while self._queue and not self._queue[0].keyframe:
            self._drop()
        if not self._queue:
            self._awaits_keyframe = True
            # Of a hidden track none is wanted before it is shown again.
            if self._wanted:
                self._request_keyframe()

    def _drop(self) -> None:
        if self._queue:
            self._pop()
            self.frames_shed += 1

    def _pop(self) -> None:
        frame = self._queue.popleft()
        self._queue_bytes -= len(frame.data)
        if frame.keyframe:
            self._keyframes.popleft()
        self._popped += 1

    def _capture_ns(self, frame: EncodedFrame) -> int | None:
        return self.clock_map.capture_ns(frame.track_id, frame.epoch, frame.rtp_timestamp)


class _Undecodable(Exception):
    """Carries the pictures decoded before the damaged frame over the thread boundary."""

    def __init__(self, pictures: Sequence[tuple[int, Picture]]) -> None:
        super().__init__()
        self.pictures = pictures
