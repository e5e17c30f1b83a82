"""The file behind the TS muxer: whole packets only, with counters that run on from file to file."""

import os
from pathlib import Path

import numpy as np

from worker.errors import DestinationError

PACKET_BYTES = 188


class ContinuityCounters:
    """The continuity counters of one stream (ISO/IEC 13818-1, 2.4.3.3).

    FFmpeg's muxer begins at zero in every file; a player that reads the files as one stream would
    take that for lost packets.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        """By PID."""

    def renumber(self, data: bytes) -> bytes:
        """*data*, whole TS packets, as they follow what was renumbered before."""
        packets = np.frombuffer(data, np.uint8).reshape(-1, PACKET_BYTES).copy()
        pids = (packets[:, 1].astype(np.int32) & 0x1F) << 8 | packets[:, 2]
        for pid in np.unique(pids).tolist():
            rows = np.flatnonzero(pids == pid)
            # Only packets that carry something count; the others repeat the number.
            counts = np.cumsum(packets[rows, 3] >> 4 & 1) + self._next.get(pid, 0)
            packets[rows, 3] = packets[rows, 3] & 0xF0 | (counts - 1) & 0x0F
            self._next[pid] = int(counts[-1]) & 0x0F
        return packets.tobytes()


class TsFile:
    """A writable file object for FFmpeg, which writes whole TS packets into it."""

    def __init__(self, path: Path, counters: ContinuityCounters) -> None:
        """Create *path*. Raises `DestinationError`, also when it exists."""
        try:
            flags = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL
            self._descriptor = os.open(path, flags, 0o666)
        except OSError as exc:
            raise DestinationError(f"{path.name} cannot be opened: {exc.strerror}") from exc
        self.name = str(path)
        self._counters = counters
        self._length = 0
        self._whole = 0
        """Bytes up to the end of a unit."""
        self._open = True
        self.error: DestinationError | None = None
        """Why the file was given up; it ends with a whole unit."""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        """Append *data*. Raises `DestinationError`."""
        if self.error is not None:
            raise self.error
        rest = memoryview(self._counters.renumber(data))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as exc:
            self._cut()
            self.error = DestinationError(
                f"{Path(self.name).name} cannot be written: {exc.strerror}"
            )
            raise self.error from exc
        self._length += len(data)
        return len(data)

    def mark(self) -> None:
        """What was written so far are whole units: a failing write does not cost them."""
        self._whole = self._length

    def close(self) -> None:
        """May be called again."""
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._whole)
        except OSError:
            # Half a unit at the end: decoders leave it out, with a complaint.
            pass
