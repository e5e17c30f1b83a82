"""One video track from encoded frames to the picture a tick shows.

Frames wait encoded until shortly before their room time (a decoded second of 720p is forty
megabytes, an encoded one a fifth), then go to the track's decoder thread one batch at a time.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.core.clockmap import ClockMap
from worker.core.identity import Track
from worker.core.layout.geometry import Size
from worker.core.offences import MAX_DECODE_NS, Allowance, Conduct, Offence
from worker.core.playout import VideoPlayout, hold_ns
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.decoders import DecoderThread, DecoderThreads
from worker.engine.framequeue import FrameQueue
from worker.errors import MediaError
from worker.ports import Clock, EncodedFrame, Picture, VideoDecoder

log = logging.getLogger(__name__)

DECODE_LEAD_NS = 335 * NS_PER_MS
"""Frames are decoded this long before they are needed: a batch of the video lane, and some.

So a busy moment costs no frame, and a decoder is woken for several at a time."""

LATE_NS = 100 * NS_PER_MS
"""A frame that comes this long before it must be shown is still decoded in time."""

QUEUE_FRAMES = 300
QUEUE_BYTES = 8 << 20
"""Bounds of the encoded queue; beyond them it is shed to the next keyframe."""

BATCH_FRAMES = 16
BATCH_NS = 20 * NS_PER_MS
"""A track gives up its decoder to the others after so many frames or so much CPU time."""

HEAVY_NS = 40 * NS_PER_MS
"""A source with such a frame, in CPU time, is decoded apart: the others have `LATE_NS`."""

PICTURES = 24
PICTURES_BYTES = 64 << 20
"""Decoded pictures that wait at once; of the largest size they are four."""

BEHIND_NS = NS_PER_S
"""A decoder this far behind the picture on show gives up and waits for the next keyframe."""


@dataclass(slots=True)
class _Decoded:
    """What became of a batch."""

    pictures: list[tuple[int, Picture]] = field(default_factory=list)
    rest: Sequence[EncodedFrame] = ()
    """Not looked at any more: an error came before, or the time was up."""
    worst_ns: int = 0
    """CPU time of the most expensive frame."""
    error: MediaError | None = None


class VideoIngest:
    """Owned by the event loop's thread; only `decoder.decode` runs elsewhere."""

    def __init__(
        self,
        *,
        track: Track,
        clock: Clock,
        clock_map: ClockMap,
        decoder: VideoDecoder,
        threads: DecoderThreads,
        thread_cpu_ns: Callable[[], int],
        conduct: Conduct,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.track = track
        self.ended_ns: int | None = None
        self.frames_decoded = 0
        self.frames_shed = 0
        self.decode_errors = 0
        self.clock_map = clock_map
        self.is_muted = conduct.is_muted(clock.now_ns())
        """For its offences: nothing of it is decoded or shown."""
        self._clock = clock
        self._decoder = decoder
        self._threads = threads
        self._thread: DecoderThread = threads.next()
        self._thread_cpu_ns = thread_cpu_ns
        self._conduct = conduct
        self._allowance = Allowance()
        self._offences: Counter[Offence] = Counter()
        self._request_keyframe = request_keyframe
        self._queue = FrameQueue()
        self._awaits_keyframe = True
        self._keyframe_ns: int | None = None
        """When the newest keyframe arrived."""
        self._is_decoding = False
        self._cost_ns = 0
        self._picture_bytes = 0
        self._failure: BaseException | None = None
        self._wanted = False
        self._room_ns = 0
        """The room time that was asked for last."""
        self._playout: VideoPlayout[Picture] = VideoPlayout(hold_ns(track.source), PICTURES)

    def facts(self) -> dict[str, object]:
        """Counters for the result; offences only of who committed any."""
        facts: dict[str, object] = {
            "frames_decoded": self.frames_decoded,
            "frames_shed": self.frames_shed,
            "frames_shown": self._playout.statistics.shown,
            "decode_errors": self.decode_errors,
        }
        if self._offences:
            facts["offences"] = {offence.value: n for offence, n in self._offences.items()}
        return facts

    def push(self, frame: EncodedFrame) -> None:
        """Queue a frame that arrived."""
        if self.is_muted:
            self.frames_shed += 1
            return
        offence = self._allowance.exceeded_by(len(frame.data), frame.arrival_ns)
        if offence is not None:
            self.frames_shed += 1
            self._strike(offence)
            self._await_keyframe()
            return
        if self._awaits_keyframe:
            if not frame.keyframe:
                self.frames_shed += 1
                return
            self._awaits_keyframe = False
        if frame.keyframe:
            self._keyframe_ns = frame.arrival_ns
        is_awaited = self._wanted and not self._queue
        self._queue.push(frame)
        if len(self._queue) > QUEUE_FRAMES or self._queue.bytes > QUEUE_BYTES:
            self._shed()
        elif is_awaited:
            # The decoder has nothing left: this frame may be late, so it does not wait for a tick.
            self._advance(self._room_ns)

    def expect(self, now_ns: int) -> None:
        """It will be shown a playout delay from now: see to it that it can begin then."""
        if self._keyframe_ns is not None and now_ns - self._keyframe_ns > BEHIND_NS:
            self._request_keyframe()

    def prepare(self, room_ns: int) -> None:
        """It is in sight at *room_ns* or soon after: get what is there decoded."""
        if not self.is_muted and not self._awaits_keyframe:
            self._wanted = True
            self._room_ns = room_ns
            self._advance(room_ns)

    def show(self, room_ns: int) -> Picture | None:
        """The picture for room time *room_ns*, and get the next ones decoded.

        Raises what the decoder raised when that was no `MediaError`: a bug.
        """
        if self._failure is not None:
            raise self._failure
        if self.is_muted:
            return None
        if not self._wanted:
            self._wanted = True
            if self._awaits_keyframe:
                self._request_keyframe()
        self._room_ns = max(self._room_ns, room_ns)
        self._advance(self._room_ns)
        return self._playout.pick(room_ns)

    def hide(self, room_ns: int) -> None:
        """Nobody sees the track at *room_ns*: stop decoding, but stay ready to begin at once.

        Kept is everything from the newest keyframe on whose time has come. To be called when the
        track goes out of sight, and now and then while it is; only then decoded pictures go too,
        as those ahead would be missing if it were back at once.
        """
        if self._wanted:
            self._wanted = False
        else:
            self._playout.clear()
        while (keyframe := self._queue.next_keyframe) is not None:
            capture_ns = self._capture_ns(keyframe)
            if capture_ns is not None and capture_ns > room_ns:
                break
            self._queue.pop_to_next_keyframe()

    def look(self, now_ns: int) -> None:
        """Follow what became of the source: muted, or let in again."""
        if self._conduct.is_muted(now_ns) == self.is_muted:
            return
        self.is_muted = not self.is_muted
        if self.is_muted:
            self._empty()
        elif self._wanted:
            self._request_keyframe()

    def _advance(self, room_ns: int) -> None:
        """Give the decoder everything that is shown up to `DECODE_LEAD_NS` after *room_ns*."""
        if self._is_decoding or not self._queue or self._failure is not None:
            return
        batch: list[tuple[int, EncodedFrame]] = []
        while self._queue and len(batch) < self._room():
            frame = self._queue.first
            capture_ns = self._capture_ns(frame)
            if capture_ns is not None and capture_ns > room_ns + DECODE_LEAD_NS:
                break
            too_old = capture_ns is None or capture_ns < room_ns - BEHIND_NS
            if capture_ns is None or (too_old and not frame.keyframe):
                self._shed()
                continue
            self._queue.pop()
            batch.append((capture_ns, frame))
            if frame.size is not None:
                self._picture_bytes = _bytes(frame.size)
        if batch:
            self._is_decoding = True
            self._thread.submit(
                lambda: self._decode(batch),
                cost_ns=self._cost_ns,
                done=self._decoded,
                failed=self._failed,
                given_up=lambda: self._strike(Offence.DECODER_STUCK),
            )

    def _decode(self, batch: Sequence[tuple[int, EncodedFrame]]) -> _Decoded:
        """On a decoder thread. Ends early after a damaged frame, or when its time is up."""
        decoded = _Decoded()
        began_ns = before_ns = self._thread_cpu_ns()
        for number, (capture_ns, frame) in enumerate(batch, start=1):
            picture: Picture | None = None
            try:
                picture = self._decoder.decode(frame)
            except MediaError as exc:
                decoded.error = exc
            now_ns = self._thread_cpu_ns()
            decoded.worst_ns = max(decoded.worst_ns, now_ns - before_ns)
            before_ns = now_ns
            if picture is not None:
                decoded.pictures.append((capture_ns, picture))
            if decoded.error is not None or now_ns - began_ns > BATCH_NS:
                decoded.rest = [frame for _, frame in batch[number:]]
                break
        return decoded

    def _failed(self, error: BaseException) -> None:
        self._is_decoding = False
        self._failure = error

    def _decoded(self, decoded: _Decoded) -> None:
        self._is_decoding = False
        self.frames_decoded += len(decoded.pictures)
        self._cost_ns = decoded.worst_ns
        if decoded.worst_ns > HEAVY_NS:
            self._thread = self._threads.heavy
        if decoded.pictures:
            self._picture_bytes = _bytes(decoded.pictures[-1][1].size)
        if decoded.error is not None:
            self.decode_errors += 1
            log.info(
                "undecodable frame",
                extra={"track": self.track.track_id, "why": str(decoded.error)},
            )
            self._strike(Offence.UNDECODABLE)
        if decoded.worst_ns > MAX_DECODE_NS:
            self._strike(Offence.TOO_EXPENSIVE)
        if self.is_muted:
            self.frames_shed += len(decoded.rest)
            return
        self._queue.put_back(decoded.rest)
        if decoded.error is not None:
            self._skip_to_keyframe()
        for capture_ns, picture in decoded.pictures:
            self._playout.push(picture, capture_ns)
        if self._wanted:
            self._advance(self._room_ns)

    def _strike(self, offence: Offence) -> None:
        self._offences[offence] += 1
        if self._conduct.strike(offence, self._clock.now_ns()):
            log.warning(
                "source muted for its offences",
                extra={
                    "track": self.track.track_id,
                    "offence": offence.value,
                    "dropped": self._conduct.is_dropped,
                },
            )
            self.is_muted = True
            self._empty()

    def _empty(self) -> None:
        """Forget everything that waits."""
        while self._queue:
            self._drop()
        self._playout.clear()
        self._awaits_keyframe = True

    def _shed(self) -> None:
        """Drop the next frame and all up to the next queued keyframe."""
        self._drop()
        self._skip_to_keyframe()

    def _skip_to_keyframe(self) -> None:
        """Drop up to the next queued keyframe, or everything and wait for one."""
        while self._queue and not self._queue.first.keyframe:
            self._drop()
        if not self._queue:
            self._await_keyframe()

    def _await_keyframe(self) -> None:
        self._awaits_keyframe = True
        # Of a hidden track none is wanted before it is shown again, of a muted one none at all.
        if self._wanted and not self.is_muted:
            self._request_keyframe()

    def _drop(self) -> None:
        if self._queue:
            self._queue.pop()
            self.frames_shed += 1

    def _room(self) -> int:
        """How many pictures of this source may be decoded at once now."""
        # Two at least, or nothing would move.
        waiting = max(2, min(PICTURES, PICTURES_BYTES // max(1, self._picture_bytes)))
        return min(BATCH_FRAMES, waiting - len(self._playout))

    def _capture_ns(self, frame: EncodedFrame) -> int | None:
        return self.clock_map.capture_ns(frame.track_id, frame.epoch, frame.rtp_timestamp)


def _bytes(size: Size) -> int:
    """Memory of a picture in planar YUV 4:2:0."""
    return size.width * size.height * 3 // 2
