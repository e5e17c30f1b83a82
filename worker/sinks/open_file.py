"""What the sink of a record rule asks of a file, whatever its format."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from worker.errors import DestinationError
from worker.ports import EncodedPacket, Program, RecordedFile, StoredObject


class OpenFile(Protocol):
    """One file of a recording, from its first packet until it can be read from the store.

    `write` and `close` are called on the sink's thread, one at a time; everything else on the
    event loop, while the thread is at rest.
    """

    @property
    def size(self) -> int:
        """Bytes that are in the file for good."""
        ...

    @property
    def written_s(self) -> float:
        """How much of the recording those are."""
        ...

    def write(self, packets: Sequence[EncodedPacket]) -> None:
        """Raises `DestinationError`; what was written before stays playable."""
        ...

    def close(self, length_s: float) -> None:
        """Finish the file, which is that long, also after an error. Raises `DestinationError`."""
        ...

    def announce(self) -> None:
        """Tell the courier what there is now; after every call on the thread.

        Raises `DestinationError`.
        """
        ...

    async def deliver(self) -> StoredObject:
        """Attend to the file from its first bytes until all of it is stored.

        Returns what it is in the store, with the size of all that belongs to it. Raises
        `DestinationError` when it cannot be stored; it stays in the spool then.
        """
        ...

    def forget(self) -> None:
        """The file was announced as complete: what was kept for a crash may go."""
        ...

    def discard(self) -> None:
        """Remove a file that never got any bytes."""
        ...


OpenFiles = Callable[[RecordedFile, Program, int], OpenFile]
"""Begins a file, on the sink's thread. Raises `DestinationError`.

The number says how many samples after the plan's cut that is: 0, unless a file before it failed.
"""


SYNC_EVERY_S = 2.0
"""Of the recording: so much more a power cut may cost than a kill does."""


def sync(path: Path) -> None:
    """Bring what was written to the disk, with the names in its folder. Raises `DestinationError`.

    It blocks for as long as the disk takes.
    """
    try:
        for each in (path, path.parent):
            descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be written: {exc.strerror}") from exc


def size_of(path: Path) -> int:
    """Raises `DestinationError`."""
    try:
        return path.stat().st_size
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be read: {exc.strerror}") from exc
