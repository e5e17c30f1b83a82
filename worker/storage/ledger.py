"""Which segments of an HLS recording are stored, kept until the whole recording was announced.

`<file_id>.ledger`: a line about the recording, then one for each segment. Segments leave the
spool when they are stored; this is what is left of them.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.errors import DestinationError
from worker.ports import RecordedFile
from worker.storage.journal import recorded_file

SUFFIX = ".ledger"


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment that can be read from the store."""

    name: str
    """Of its file in the spool."""
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """All of one recording."""

    file: RecordedFile
    store: str
    segments: tuple[StoredSegment, ...]


def path_of(directory: Path, file: RecordedFile) -> Path:
    return directory / f"{file.file_id}{SUFFIX}"


def note(directory: Path, file: RecordedFile, store: str, segment: StoredSegment) -> None:
    """Add a segment, on the disk: its file goes next. Raises `DestinationError`."""
    path = path_of(directory, file)
    lines = [asdict(segment)]
    try:
        if not path.exists():
            lines.insert(0, {"file": asdict(file), "store": store})
        with path.open("a", encoding="utf-8") as ledger:
            ledger.write("".join(f"{json.dumps(line)}\n" for line in lines))
            ledger.flush()
            os.fsync(ledger.fileno())
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be written: {exc.strerror}") from exc


def read(path: Path) -> Ledger:
    """The ledger at *path*; a last line that was cut is left out. Raises `DestinationError`."""
    try:
        head, *lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        told = json.loads(head)
        # A segment that was delivered, and delivered again after a crash, has two lines.
        segments = {each["name"]: StoredSegment(**each) for each in map(json.loads, lines)}
        return Ledger(recorded_file(told["file"]), told["store"], tuple(segments.values()))
    except OSError as exc:
        raise DestinationError(f"{path.name} cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, KeyError) as exc:
        raise DestinationError(f"{path.name} is no ledger of ours") from exc
