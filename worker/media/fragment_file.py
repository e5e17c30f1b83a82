"""The file behind the MP4 muxer: it grows by whole fragments, and is valid after every byte.

A fragment (moof and mdat) is written backwards: first all but its first eight bytes, then those.
Until then they read as zero, a box without a type that reaches to the end of the file, so a
parser stops before the fragment instead of running into half of it. The process may be killed,
and the disk may fill up, between any two bytes.
"""

import os
from pathlib import Path

from worker.errors import DestinationError, InternalError

_HEADER_BYTES = 8
_LARGE_HEADER_BYTES = 16


class FragmentFile:
    """A writable, seekable file object for FFmpeg; new, never an existing file.

    FFmpeg appends boxes and, closing, patches a header near the start in place.
    """

    def __init__(self, path: Path) -> None:
        """Create *path*. Raises `DestinationError`, also when it exists."""
        try:
            self._descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
        except OSError as exc:
            raise DestinationError(f"{path} cannot be created: {exc.strerror}") from exc
        self.name = str(path)
        self._position = 0
        self._length = 0
        """What is in the file for good: whole boxes."""
        self._waiting = bytearray()
        """Appended, but not whole yet; bounded by the size of one fragment."""
        self._open = True
        self.error: DestinationError | None = None
        """Why the file was given up."""

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
        start, end = self._position - self._length, self._position + len(data) - self._length
        if end <= 0:
            self._put(data, self._position)
        elif 0 <= start <= len(self._waiting):
            # FFmpeg writes sizes last: it goes back within the box it has not finished.
            self._waiting[start:end] = data
            self._commit()
        else:
            raise InternalError("the muxer wrote across the end of what it had finished")
        self._position += len(data)
        return len(data)

    def finish(self) -> None:
        """Close a complete file, on the disk and not only in memory. Raises `DestinationError`."""
        self._require_open()
        if self._waiting:
            self.abandon()
            raise InternalError("the muxer left half a box")
        try:
            os.fsync(self._descriptor)
        except OSError as exc:
            raise self._given_up(exc) from exc
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
        while size := _whole_unit(self._waiting):
            unit = bytes(self._waiting[:size])
            self._put(unit[_HEADER_BYTES:], self._length + _HEADER_BYTES)
            self._put(unit[:_HEADER_BYTES], self._length)
            self._length += size
            del self._waiting[:size]

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

    def _require_open(self) -> None:
        if not self._open:
            raise self.error or DestinationError(f"{self.name} is closed")


def _whole_unit(data: bytearray) -> int:
    """Bytes of the first box in *data*, a moof together with its mdat; 0 while it is not whole."""
    size = _box_bytes(data, 0)
    if size and data[4:8] == b"moof":
        rest = _box_bytes(data, size) if size <= len(data) else 0
        size = size + rest if rest else 0
    return size if 0 < size <= len(data) else 0


def _box_bytes(data: bytearray, start: int) -> int:
    """The size the box at *start* claims, 0 while it is not known."""
    if len(data) < start + _HEADER_BYTES:
        return 0
    size = int.from_bytes(data[start : start + 4], "big")
    if size != 1:
        return size
    if len(data) < start + _LARGE_HEADER_BYTES:
        return 0
    return int.from_bytes(data[start + 8 : start + 16], "big")
