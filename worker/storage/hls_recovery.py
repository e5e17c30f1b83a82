"""The end of an HLS recording whose worker died: the playlist of what is stored, closed.

The spool has a playlist, too, `<file_id>.m3u8`. It got a line when a segment was closed, with the
segment's name in the spool.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.ports import RecordedFile
from worker.storage import ledger
from worker.storage.journal import Journal

CONTENT_TYPE = "application/vnd.apple.mpegurl"
END = "#EXT-X-ENDLIST"
_GAP = "#EXT-X-DISCONTINUITY"
_LENGTH = re.compile(r"#EXTINF:(\d+(?:\.\d+)?),")
_FOR_A_SEGMENT = ("#EXTINF", "#EXT-X-PROGRAM-DATE-TIME", _GAP)


@dataclass(slots=True)
class SegmentedRecording:
    """What the spool knows of one recording."""

    file: RecordedFile
    store: str
    left: list[tuple[Path, Journal]] = field(default_factory=list)
    """Segments that are in the spool, in order."""


@dataclass(frozen=True, slots=True)
class ClosedPlaylist:
    """A playlist that will not change any more."""

    text: str
    duration_s: float
    missing: int
    """Segments that were recorded and are not stored."""


def segmented_recordings(
    directory: Path, journals: list[tuple[Path, Journal]]
) -> list[SegmentedRecording]:
    """All recordings of which there is a ledger or a segment. Raises `DestinationError`."""
    found: dict[str, SegmentedRecording] = {}
    for path in sorted(directory.glob(f"*{ledger.SUFFIX}")):
        kept = ledger.read(path)
        found[kept.file.file_id] = SegmentedRecording(kept.file, kept.store)
    for path, journal in sorted(journals):
        recording = found.setdefault(
            journal.file.file_id, SegmentedRecording(journal.file, journal.store)
        )
        recording.left.append((path, journal))
    return list(found.values())


def listed(text: str) -> set[str]:
    """Names of the segments in a playlist; a last line that was cut does not count."""
    return {line for line in text.split("\n")[:-1] if line and not line.startswith("#")}


def closed(text: str, stored: Mapping[str, str], cut: Mapping[str, float]) -> ClosedPlaylist:
    """The playlist *text* of the spool, as it is to be in the store.

    *stored*: keys of the segments that are, by their names in the spool. *cut*: seconds of those
    that were not closed, and so are not listed.
    """
    head: list[str] = []
    lines: list[str] = []
    tags: list[str] = []
    duration_s, missing = 0.0, 0
    for line in text.split("\n")[:-1]:
        if line.startswith(_FOR_A_SEGMENT):
            tags.append(line)
        elif line.startswith("#"):
            head.append(line)
        elif line in stored:
            lines += [*tags, stored[line].rpartition("/")[2]]
            duration_s += sum(float(length) for length in _LENGTH.findall("\n".join(tags)))
            tags = []
        elif line:
            missing += 1
            tags = [_GAP]
    for name, seconds in cut.items():
        if name in stored:
            lines += [f"#EXTINF:{seconds:.6f},", stored[name].rpartition("/")[2]]
            duration_s += seconds
    whole = [*(line for line in head if line != END), *lines, END, ""]
    return ClosedPlaylist("\n".join(whole), duration_s, missing)
