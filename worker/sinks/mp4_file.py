"""An MP4 file of a record rule, on its way into the store while it grows."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import DestinationError
from worker.ports import (
    Courier,
    EncodedPacket,
    Muxer,
    Parcel,
    Program,
    RecordedFile,
    StoredObject,
    StreamKind,
)
from worker.sinks.open_file import SYNC_EVERY_S, OpenFiles, size_of, sync

CONTENT_TYPE = "video/mp4"

OpenMuxer = Callable[[Path, Program], Muxer]


def mp4_files(spool: Path, open_muxer: OpenMuxer, courier: Courier) -> OpenFiles:
    """Begins files as `<spool>/<file_id>.mp4`."""

    def open_file(file: RecordedFile, program: Program, late_samples: int) -> Mp4File:
        return Mp4File(file, program, spool / f"{file.file_id}.mp4", open_muxer, courier)

    return open_file


class Mp4File:
    """`OpenFile` around one muxer."""

    def __init__(
        self,
        file: RecordedFile,
        program: Program,
        path: Path,
        open_muxer: OpenMuxer,
        courier: Courier,
    ) -> None:
        """Create the file at *path*. Raises `DestinationError`."""
        self._file = file
        self._path = path
        self._courier = courier
        self._muxer: Muxer | None = open_muxer(path, program)
        self._parcel: Parcel | None = None
        self._is_closed = False
        self._closed = asyncio.Event()
        self._leading = StreamKind.VIDEO if program.video is not None else StreamKind.AUDIO
        self._rate = SAMPLE_RATE_HZ if program.video is None else program.video.template.fps
        self._given_s = 0.0
        """Where the last packet given to the muxer begins."""
        self._size = 0
        self._written_s = 0.0
        self._synced_s = 0.0

    @property
    def size(self) -> int:
        return self._size

    @property
    def written_s(self) -> float:
        return self._written_s

    def write(self, packets: Sequence[EncodedPacket]) -> None:
        """Raises `DestinationError`; the file then ends with its last whole fragment.

        Every two seconds it waits for the disk.
        """
        assert self._muxer is not None
        try:
            for packet in packets:
                self._muxer.write(packet)
                self._look()
                if packet.kind is self._leading:
                    self._given_s = max(0.0, packet.pts / self._rate)
        except DestinationError:
            self._muxer = None
            self._look()
            raise
        if self._written_s >= self._synced_s + SYNC_EVERY_S:
            self._synced_s = self._written_s
            sync(self._path)

    def close(self, length_s: float) -> None:
        """Make an ordinary MP4 of it; one that failed stays as it is. Raises `DestinationError`."""
        muxer, self._muxer = self._muxer, None
        self._is_closed = True
        try:
            if muxer is not None:
                muxer.close()
        finally:
            self._look()
        if muxer is not None:
            self._written_s = length_s

    def announce(self) -> None:
        """Raises `DestinationError`."""
        if self._parcel is None and self._size:
            self._parcel = self._courier.collect(
                self._file, self._path, key=self._file.key, content_type=CONTENT_TYPE
            )
        if self._parcel is not None:
            self._parcel.grew(self._size)
        if self._is_closed:
            self._closed.set()

    async def deliver(self) -> StoredObject:
        """Raises `DestinationError`."""
        await self._closed.wait()
        assert self._parcel is not None
        return await self._parcel.seal()

    def forget(self) -> None:
        """The courier keeps all there is."""

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)

    def _look(self) -> None:
        """The muxer writes whole fragments, so whatever is in the file stays as it is."""
        size = size_of(self._path)
        if size > self._size:
            # What has made the file grow is the fragment before the packet that was given last.
            self._size, self._written_s = size, self._given_s
