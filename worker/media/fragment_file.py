"""The file behind the MP4 muxer: it grows by whole fragments, and is valid after every byte.

A fragment (moof and mdat) is written backwards: first all but its first eight bytes, then those.
Until then they read as zero, a box without a type that reaches to the end of the file, so a
parser stops before the fragment instead of running into half of it. The process may be killed,
and the disk may fill up, between any two bytes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.errors import DestinationError, InternalError
from worker.media.mp4_boxes import HEADER_BYTES, Box, read_header


@dataclass(frozen=True, slots=True)
class Unit:
    """A moov, or a moof with the mdat behind it, as it lies in a file."""

    head: bytes
    """The whole moov or moof."""
    start: int
    end: int
    """Behind the mdat, for a fragment."""

    @property
    def is_fragment(self) -> bool:
        return self.head[4:8] == b"moof"

    @property
    def media(self) -> range:
        """Where the samples are, the mdat's header included."""
        return range(self.start + len(self.head), self.end)


class FragmentFile:
    """A writable file object for FFmpeg, which appends boxes; and the box that ends them."""

    def __init__(self, path: Path) -> None:
        """Create *path*. Raises `DestinationError`, also when it exists."""
        self._begin(path, os.O_CREAT | os.O_EXCL, 0)

    @classmethod
    def continuing(cls, path: Path, length: int) -> Self:
        """Open what another process has left, and cut it to *length*. Raises `DestinationError`."""
        file = cls.__new__(cls)
        file._begin(path, 0, length)
        try:
            os.ftruncate(file._descriptor, length)
        except OSError as exc:
            raise file._given_up(exc) from exc
        return file

    def _begin(self, path: Path, flags: int, length: int) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
        except OSError as exc:
            raise DestinationError(f"{path} cannot be opened: {exc.strerror}") from exc
        self.name = str(path)
        self._length = length
        """What is in the file for good: whole boxes."""
        self._waiting = bytearray()
        """Appended, but not whole yet; bounded by the size of one fragment."""
        self._position = length
        self._units: list[Unit] = []
        self._open = True
        self.error: DestinationError | None = None
        """Why the file was given up."""

    @property
    def length(self) -> int:
        return self._length

    @property
    def closed(self) -> bool:
        return not self._open

    def writable(self) -> bool:
        return self._open

    def seekable(self) -> bool:
        return self._open

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self._length + len(self._waiting),
        }[whence]
        self._position = start + offset
        return self._position

    def write(self, data: bytes) -> int:
        """Take *data*; it reaches the disk with the rest of its box. Raises `DestinationError`."""
        self._require_open()
        start = self._position - self._length
        if not 0 <= start <= len(self._waiting):
            raise InternalError("the muxer wrote where it had finished, or left a hole")
        # FFmpeg writes sizes last: it goes back within the box it has not finished.
        self._waiting[start : start + len(data)] = data
        self._commit()
        self._position += len(data)
        return len(data)

    def new_units(self) -> list[Unit]:
        """What has reached the disk since the last call."""
        units, self._units = self._units, []
        return units

    def append(self, pieces: Iterator[bytes]) -> None:
        """Add one box, given in pieces of which the first holds its header at least.

        It is there whole or not at all, and on the disk when this returns. Raises
        `DestinationError`.
        """
        self._require_whole()
        first = next(pieces)
        self._put(first[HEADER_BYTES:], self._length + HEADER_BYTES)
        end = self._length + len(first)
        for piece in pieces:
            self._put(piece, end)
            end += len(piece)
        self._put(first[:HEADER_BYTES], self._length)
        self._sync()
        self._length = end

    def patch(self, offset: int, data: bytes) -> None:
        """Write over a few bytes of what is whole. Raises `DestinationError`."""
        self._require_open()
        if not 0 <= offset <= self._length - len(data):
            raise InternalError("a patch of what is not in the file")
        self._put(data, offset)

    def finish(self) -> None:
        """Close a complete file, on the disk and not only in memory. Raises `DestinationError`."""
        self._require_whole()
        self._sync()
        self._open = False
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Close with what is whole, and take nothing more. May be called again."""
        if not self._open:
            return
        self._open = False
        self._waiting.clear()
        try:
            os.ftruncate(self._descriptor, self._length)
        except OSError:
            # What is behind the last whole box has no header, so readers do not see it anyway.
            pass
        finally:
            os.close(self._descriptor)

    def _commit(self) -> None:
        while (box := _first_box(self._waiting)) is not None:
            head, end = box
            data = bytes(self._waiting[:end])
            self._put(data[HEADER_BYTES:], self._length + HEADER_BYTES)
            self._put(data[:HEADER_BYTES], self._length)
            if head.kind in (b"moov", b"moof"):
                self._units.append(Unit(data[: head.size], self._length, self._length + end))
            self._length += end
            del self._waiting[:end]

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as exc:
            raise self._given_up(exc) from exc

    def _put(self, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, offset)
                rest = rest[written:]
                offset += written
        except OSError as exc:
            raise self._given_up(exc) from exc

    def _given_up(self, exc: OSError) -> DestinationError:
        self.error = DestinationError(f"{self.name} cannot be written: {exc.strerror}")
        self.abandon()
        return self.error

    def _require_whole(self) -> None:
        self._require_open()
        if self._waiting:
            self.abandon()
            raise InternalError("the muxer left half a box")

    def _require_open(self) -> None:
        if not self._open:
            raise self.error or DestinationError(f"{self.name} is closed")


def _first_box(data: bytearray) -> tuple[Box, int] | None:
    """The box *data* begins with, if it is whole, a moof together with its mdat; their end."""
    head = read_header(data)
    if head is None or head.size == 0 or head.size > len(data):
        return None
    if head.kind != b"moof":
        return head, head.size
    media = read_header(data, head.size)
    if media is None or media.size == 0 or media.end > len(data):
        return None
    return head, media.end
