"""An HLS recording: segments into the store one after the other, the playlist behind them.

In the spool, too, there is a playlist. It grows by a line when a segment is closed, so that after
a crash it is known what is there; the store's playlist lists what is stored.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.core.record.naming import playlist_key, segment_key
from worker.core.timing import SAMPLE_RATE_HZ, samples_for_ticks
from worker.errors import DestinationError
from worker.ports import (
    Courier,
    EncodedPacket,
    Parcel,
    Program,
    RecordedFile,
    SegmentMuxer,
    StoredObject,
    StreamKind,
)
from worker.sinks.open_file import SYNC_EVERY_S, OpenFiles, size_of, sync
from worker.sinks.playlist import (
    CONTENT_TYPE,
    SEGMENT_CONTENT_TYPE,
    Segment,
    end,
    entry,
    header,
)

log = logging.getLogger(__name__)

OpenSegments = Callable[[Program], SegmentMuxer]


def hls_files(
    spool: Path, open_segments: OpenSegments, courier: Courier, *, slice_s: int
) -> OpenFiles:
    """Begins recordings as `<spool>/<file_id>.m3u8` and `<spool>/<file_id>_<n>.ts`."""

    def open_file(file: RecordedFile, program: Program, late_samples: int) -> HlsFile:
        slicing = Slicing(slice_s, late_samples)
        return HlsFile(file, program, spool, open_segments(program), courier, slicing)

    return open_file


@dataclass(frozen=True, slots=True)
class Slicing:
    """Where segments end: every *slice_s* from where the plan wanted the recording to begin."""

    slice_s: int
    late_samples: int = 0

    def number(self, sample: int) -> int:
        """In which slice a sample of the recording lies."""
        return (self.late_samples + sample) // (self.slice_s * SAMPLE_RATE_HZ)


@dataclass(slots=True)
class _Segment:
    """A segment in the spool."""

    number: int
    path: Path
    start: int
    """Samples, from the recording's beginning."""
    samples: int = 0
    """How long it is; 0 until it is closed."""
    size: int = 0
    parcel: Parcel | None = None


class HlsFile:
    """`OpenFile` of a playlist and its segments."""

    def __init__(
        self,
        file: RecordedFile,
        program: Program,
        spool: Path,
        muxer: SegmentMuxer,
        courier: Courier,
        slicing: Slicing,
    ) -> None:
        """Begin the playlist. Raises `DestinationError`."""
        self._file = file
        self._key = file.key
        """Of the playlist."""
        self._spool = spool
        self._muxer = muxer
        self._courier = courier
        self._slicing = slicing
        self._fps = None if program.video is None else program.video.template.fps
        self._leading = StreamKind.VIDEO if program.video is not None else StreamKind.AUDIO
        self._segments: deque[_Segment] = deque()
        """Of which the loop has not heard that they are closed."""
        self._segment: _Segment | None = None
        """The one that is written."""
        self._count = 0
        self._reached = 0
        """Samples: up to where packets were given to the muxer."""
        self._synced_s = 0.0
        self._is_closed = False
        self._size = 0
        """Of the segments that are closed."""
        self._to_store: deque[_Segment] = deque()
        self._announced = asyncio.Event()
        self._all_closed = False
        self._lines: list[str] = []
        """Of the store's playlist."""
        self._stored_bytes = 0
        self._stored = asyncio.Event()
        self._all_stored = False
        self._missing: DestinationError | None = None
        self._local = spool / f"{file.file_id}.m3u8"
        self._keep(self._header(), "x")

    @property
    def size(self) -> int:
        return self._size + (self._segment.size if self._segment is not None else 0)

    @property
    def written_s(self) -> float:
        return self._reached / SAMPLE_RATE_HZ

    def write(self, packets: Sequence[EncodedPacket]) -> None:
        """Raises `DestinationError`; the segment then ends with its last whole TS packet."""
        for packet in packets:
            if self._segment is None:
                self._begin(0)
            elif packet.kind is self._leading and packet.keyframe:
                start = self._samples(packet.pts)
                if self._slicing.number(start) > self._slicing.number(self._segment.start):
                    self._end_segment(start)
                    self._begin(start)
            try:
                self._muxer.write(packet)
            finally:
                self._look()
            if packet.kind is self._leading:
                self._reached = max(self._reached, self._samples(packet.pts + packet.duration))
        if self._segment is not None and self.written_s >= self._synced_s + SYNC_EVERY_S:
            self._synced_s = self.written_s
            sync(self._segment.path)

    def close(self, length_s: float) -> None:
        """Close the last segment. Raises `DestinationError`."""
        self._is_closed = True
        if self._segment is not None:
            self._end_segment(round(length_s * SAMPLE_RATE_HZ))

    def announce(self) -> None:
        """Raises `DestinationError`; what the courier did not take then stays in the spool."""
        failure: DestinationError | None = None
        while self._segments:
            segment = self._segments[0]
            try:
                self._announce(segment)
            except DestinationError as exc:
                self._missing = failure = exc
            if not segment.samples:
                break
            self._to_store.append(self._segments.popleft())
        self._all_closed = self._is_closed
        self._announced.set()
        if failure is not None:
            raise failure

    def _announce(self, segment: _Segment) -> None:
        if segment.parcel is None and segment.size:
            segment.parcel = self._courier.collect(
                self._file,
                segment.path,
                key=segment_key(self._file.key, segment.number),
                content_type=SEGMENT_CONTENT_TYPE,
            )
        if segment.parcel is not None:
            segment.parcel.grew(segment.size)

    async def deliver(self) -> StoredObject:
        """Raises `DestinationError`."""
        async with asyncio.TaskGroup() as group:
            playlists = group.create_task(self._store_playlists(), name="playlist")
            await self._store_segments()
        playlist = playlists.result()
        if self._missing is not None or isinstance(playlist, DestinationError):
            raise DestinationError(f"not complete in the store: {self._missing or playlist}")
        return StoredObject(playlist.key, self._stored_bytes + playlist.size, playlist.etag)

    def forget(self) -> None:
        self._local.unlink(missing_ok=True)

    def discard(self) -> None:
        for number in range(self._count):
            self._segment_path(number).unlink(missing_ok=True)
        self._local.unlink(missing_ok=True)

    # --- on the sink's thread -------------------------------------------------------------

    def _begin(self, start: int) -> None:
        path = self._segment_path(self._count)
        self._muxer.begin(path)
        self._segment = _Segment(self._count, path, start)
        self._segments.append(self._segment)
        self._count += 1

    def _segment_path(self, number: int) -> Path:
        return self._spool / f"{self._file.file_id}_{number:05d}.ts"

    def _end_segment(self, end_sample: int) -> None:
        segment = self._segment
        assert segment is not None
        try:
            self._muxer.close()
        finally:
            self._look()
            self._segment = None
            self._size += segment.size
            segment.samples = max(1, end_sample - segment.start)
        sync(segment.path)
        self._keep(entry(self._described(segment, segment.path.name)), "a")

    def _look(self) -> None:
        if self._segment is not None:
            self._segment.size = size_of(self._segment.path)

    def _keep(self, text: str, mode: str) -> None:
        """Add to the playlist in the spool, on the disk: the segment may leave the spool next."""
        try:
            with self._local.open(mode, encoding="utf-8") as playlist:
                playlist.write(text)
                playlist.flush()
                os.fsync(playlist.fileno())
        except OSError as exc:
            raise DestinationError(f"{self._local.name} cannot be written: {exc.strerror}") from exc

    def _samples(self, pts: int) -> int:
        return pts if self._fps is None else samples_for_ticks(pts, self._fps)

    # --- on the event loop ------------------------------------------------------------------

    async def _store_segments(self) -> None:
        """In order, one after the other: the courier has most of each already."""
        follows_gap = False
        while (segment := await self._next_closed()) is not None:
            stored = await self._seal(segment)
            if stored is None:
                follows_gap = True
                continue
            if not self._lines:
                self._key = playlist_key(self._file.key, segment.number, stored.key)
            self._stored_bytes += stored.size
            uri = stored.key.rpartition("/")[2]
            self._lines.append(entry(self._described(segment, uri, follows_gap=follows_gap)))
            follows_gap = False
            self._stored.set()
        self._all_stored = True
        self._stored.set()

    async def _seal(self, segment: _Segment) -> StoredObject | None:
        if segment.parcel is None:
            if not segment.size:
                segment.path.unlink(missing_ok=True)
            return None  # nothing was written, or the courier did not take it
        try:
            return await segment.parcel.seal()
        except DestinationError as exc:
            log.warning("segment not stored", extra={"key": self._file.key, "code": exc.code})
            self._missing = exc
            return None

    async def _next_closed(self) -> _Segment | None:
        while not self._to_store:
            if self._all_closed:
                return None
            self._announced.clear()
            await self._announced.wait()
        return self._to_store.popleft()

    async def _store_playlists(self) -> StoredObject | DestinationError:
        """The newest one whenever segments were stored, until the last was. Returns the final."""
        while True:
            await self._stored.wait()
            self._stored.clear()
            is_last = self._all_stored
            is_complete = is_last and self._missing is None
            text = self._header(is_over=is_complete) + "".join(self._lines)
            if is_complete:
                text += end()
            outcome: StoredObject | DestinationError
            try:
                outcome = await self._courier.put(
                    self._key, text.encode(), content_type=CONTENT_TYPE
                )
            except DestinationError as exc:
                log.warning("playlist not stored", extra={"key": self._file.key, "code": exc.code})
                outcome = exc
            if is_last:
                return outcome

    def _header(self, *, is_over: bool = False) -> str:
        return header(target_s=self._slicing.slice_s, is_over=is_over)

    def _described(self, segment: _Segment, uri: str, *, follows_gap: bool = False) -> Segment:
        start_s = segment.start / SAMPLE_RATE_HZ
        return Segment(
            uri,
            start_unix_s=self._file.start_unix_s + start_s,
            duration_s=segment.samples / SAMPLE_RATE_HZ,
            follows_gap=follows_gap,
        )
