"""From a fragmented MP4 to an ordinary one, in place: at the end of a recording, or after a crash.

    while it grows   ftyp  moov  moof mdat  moof mdat …
    finished         ftyp  mdat ……………………………………………  moov

The new moov is appended; once it is on the disk, the header of the old one (its first 8 bytes,
16 in a file above 4 GiB, all within the first hundred of the file) is written over by that of an
mdat that reaches to the new moov. Until then the file is the fragmented one with a second moov
that players skip.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from worker.errors import DestinationError, MediaError
from worker.media.fragment_file import FragmentFile, Unit
from worker.media.mp4_boxes import LARGE_HEADER_BYTES, Box, header, read_header
from worker.media.mp4_fragments import is_fragmented
from worker.media.mp4_index import FragmentIndex

_READ_BYTES = 4096
"""At once while looking through a file: a moof and the header of its mdat, most times."""
_LARGEST_HEAD_BYTES = 16 << 20
"""Of a moov or moof in a file being recovered; more is damage."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What `finish` found and did."""

    was_ordinary: bool
    """It had been finished before; nothing was changed."""
    fragments: int = 0
    cut_bytes: int = 0
    """What was behind the last whole fragment, and is gone."""


def scratch_file(directory: Path) -> BinaryIO:
    """A nameless file for an index to grow on. Raises `DestinationError`."""
    try:
        return tempfile.TemporaryFile(dir=directory)
    except OSError as exc:
        raise DestinationError(f"{directory} cannot be written: {exc.strerror}") from exc


def write_index(file: FragmentFile, index: FragmentIndex) -> None:
    """Make *file*, all of whose boxes *index* has seen, an ordinary MP4, and close it.

    Raises `DestinationError`; the file is then still whole as a fragmented one.
    """
    head_start = index.head_start
    moov = index.moov()
    if head_start is None:
        raise MediaError("a file without a head")
    end = file.length
    try:
        file.append(moov.pieces())
    except OSError as exc:
        file.abandon()
        raise DestinationError(f"the index cannot be read back: {exc.strerror}") from exc
    file.patch(head_start, header(b"mdat", end - head_start))
    file.finish()


def finish(path: Path) -> Finished:
    """Make an ordinary MP4 of the file a killed worker has left, up to its last whole fragment.

    May be interrupted and called again; a file that is ordinary is left alone. Nobody else may
    be writing the file. Raises `MediaError` when there is nothing to be saved (no head yet, or
    not a fragmented MP4), and `DestinationError` when the disk refuses.
    """
    index = FragmentIndex(scratch_file(path.parent))
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=0) as source:
            found = _look_through(source.fileno(), size, index)
        if not found.was_ordinary:
            index.moov()  # raises for a damaged head, before anything is changed
            write_index(FragmentFile.continuing(path, size - found.cut_bytes), index)
    except OSError as exc:
        raise DestinationError(f"{path} cannot be read: {exc.strerror}") from exc
    finally:
        index.close()
    return found


def _look_through(descriptor: int, size: int, index: FragmentIndex) -> Finished:
    """Give *index* the head and every whole fragment, in order. Raises `MediaError`, `OSError`."""
    fragments = 0
    end = 0
    for box, unit in _whole_boxes(descriptor, size):
        if unit is not None:
            if index.head_start is None and not unit.is_fragment and not is_fragmented(unit.head):
                return Finished(was_ordinary=True)
            try:
                index.add(unit)
            except MediaError:
                # What a crash of the machine has torn may look like anything; and a second
                # head was written by a finish that was interrupted: it will be written again.
                break
            fragments += unit.is_fragment
        end = box.end if unit is None else unit.end
    if index.head_start is None:
        raise MediaError("this is no recording that could be finished: it has no head")
    return Finished(was_ordinary=False, fragments=fragments, cut_bytes=size - end)


def _whole_boxes(descriptor: int, size: int) -> Iterator[tuple[Box, Unit | None]]:
    """The boxes of a file up to the first that is not all there; moov and fragment as units."""
    position = 0
    while True:
        data = os.pread(descriptor, _READ_BYTES, position)
        box = _whole_box(data, position, size)
        if box is None:
            return
        if box.kind not in (b"moov", b"moof"):
            yield box, None
            position = box.end
            continue
        if box.size > _LARGEST_HEAD_BYTES:
            return
        if len(data) < box.size + LARGE_HEADER_BYTES:
            data = os.pread(descriptor, box.size + LARGE_HEADER_BYTES, position)
        end = box.end
        if box.kind == b"moof":
            media = _whole_box(data[box.size :], end, size)
            if media is None or media.kind != b"mdat":
                return
            end = media.end
        yield box, Unit(data[: box.size], position, end)
        position = end


def _whole_box(data: bytes, position: int, size: int) -> Box | None:
    """The box *data* begins with, which lies at *position* in a file of *size* bytes."""
    try:
        box = read_header(data)
    except MediaError:
        return None
    if box is None or box.size == 0 or position + box.size > size:
        return None
    return Box(box.kind, position, box.header_bytes, box.size)
