"""The moov box of an ordinary MP4, out of the one of a fragmented MP4 and sample tables.

The old one brings all that does not change: codecs, languages, edit lists. What is put in are
the tables and the durations. Large tables are never in memory as a whole.
(ISO/IEC 14496-12, section 8.)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worker.errors import MediaError
from worker.media.mp4_boxes import HEADER_BYTES, Box, box, children, header, only, within
from worker.media.mp4_tables import Column, SampleTables

_FITS_32_BITS = 1 << 32
_NO_MEDIA = -1
"""media_time of an edit that shows nothing."""


class Part(Protocol):
    """Bytes of known length that may lie elsewhere."""

    def __len__(self) -> int: ...

    def pieces(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A part that is simply bytes."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data)

    def pieces(self) -> Iterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class Narrow:
    """64-bit numbers of a column, all small enough, as 32-bit ones."""

    column: Column

    def __len__(self) -> int:
        return len(self.column) // 2

    def pieces(self) -> Iterator[bytes]:
        for piece in self.column.pieces():
            yield np.frombuffer(piece, ">u8").astype(">u4").tobytes()


@dataclass(frozen=True, slots=True)
class Moov:
    """A whole moov box."""

    parts: Sequence[Part]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def pieces(self) -> Iterator[bytes]:
        for part in self.parts:
            yield from part.pieces()


def moov_of(head: bytes, tables: Mapping[int, SampleTables]) -> Moov:
    """The moov for a file that began with the moov *head*; *tables* by track id, finished.

    Raises `MediaError` when the head lacks what every one has.
    """
    boxes = list(children(head, 8, len(head)))
    mvhd = only(b"mvhd", boxes)
    movie_timescale = _timescale(head, mvhd)
    traks: dict[Box, tuple[list[Part], int]] = {
        trak: _trak(head, trak, tables, movie_timescale) for trak in boxes if trak.kind == b"trak"
    }
    longest = max((duration for _, duration in traks.values()), default=0)
    parts: list[Part] = []
    for each in boxes:
        if each.kind == b"mvhd":
            parts.append(_with_duration(head, each, longest))
        elif each in traks:
            parts += traks[each][0]
        elif each.kind != b"mvex":
            parts.append(_copy(head, each))
    return Moov(_around(b"moov", parts))


def _trak(
    head: bytes, trak: Box, tables: Mapping[int, SampleTables], movie_timescale: int
) -> tuple[list[Part], int]:
    """The track with its tables, and how long it is shown, in the movie's timescale."""
    boxes = within(head, trak)
    tkhd = only(b"tkhd", boxes)
    mdia = only(b"mdia", boxes)
    timescale = _timescale(head, only(b"mdhd", within(head, mdia)))
    samples = tables.get(_number(head, tkhd.body + (20 if head[tkhd.body] else 12), 4))
    if samples is None:
        raise MediaError("a track that has no fragments")
    edits = [edit for edts in boxes if edts.kind == b"edts" for edit in _edits(head, edts)]
    shown = [
        # What is skipped at the start is not shown; a last moment counts as a whole unit.
        Edit(
            -(-max(0, samples.end_time - edit.media_time) * movie_timescale // timescale)
            if edit.media_time != _NO_MEDIA
            else edit.duration,
            edit.media_time,
            edit.rate,
        )
        for edit in edits
    ] or [Edit(-(-samples.end_time * movie_timescale // timescale), 0, 1 << 16)]
    duration = sum(edit.duration for edit in shown)

    parts: list[Part] = []
    for each in boxes:
        if each.kind == b"tkhd":
            parts.append(_with_duration(head, each, duration))
        elif each.kind == b"edts":
            parts += _around(b"edts", [_edit_list(shown)])
        elif each.kind == b"mdia":
            parts += _mdia(head, each, samples)
        else:
            parts.append(_copy(head, each))
    return _around(b"trak", parts), duration


def _mdia(head: bytes, mdia: Box, samples: SampleTables) -> list[Part]:
    parts: list[Part] = []
    for each in within(head, mdia):
        if each.kind == b"mdhd":
            parts.append(_with_duration(head, each, samples.end_time))
        elif each.kind == b"minf":
            parts += _minf(head, each, samples)
        else:
            parts.append(_copy(head, each))
    return _around(b"mdia", parts)


def _minf(head: bytes, minf: Box, samples: SampleTables) -> list[Part]:
    parts: list[Part] = []
    for each in within(head, minf):
        if each.kind == b"stbl":
            parts += _stbl(head, each, samples)
        else:
            parts.append(_copy(head, each))
    return _around(b"minf", parts)


def _stbl(head: bytes, stbl: Box, samples: SampleTables) -> list[Part]:
    stsd = only(b"stsd", within(head, stbl))
    is_wide = samples.last_offset >= _FITS_32_BITS
    parts: list[Part] = [_copy(head, stsd)]
    parts += _table(b"stts", samples.durations.entries, samples.durations)
    if not samples.compositions.is_plain:
        version = 1 if samples.compositions.is_signed else 0
        entries = samples.compositions.entries
        parts += _table(b"ctts", entries, samples.compositions, version=version)
    if not samples.all_sync:
        parts += _table(b"stss", len(samples.sync) // 4, samples.sync)
    parts += _table(b"stsc", len(samples.chunk_sizes) // 12, samples.chunk_sizes)
    # The zero before the count says that sizes differ.
    parts += _around(b"stsz", [Plain(bytes(8) + _u32(samples.samples)), samples.sizes])
    parts += _table(
        b"co64" if is_wide else b"stco",
        len(samples.chunks) // 8,
        samples.chunks if is_wide else Narrow(samples.chunks),
    )
    if head[stsd.body + 12 : stsd.body + 16] == b"mp4a":
        # An AAC packet is heard right only after the one before it.
        roll = b"roll" + _u32(2) + _u32(1) + (-1).to_bytes(2, "big", signed=True)
        parts += _around(b"sgpd", [Plain(b"\1\0\0\0" + roll)])
        whole = b"roll" + _u32(1) + _u32(samples.samples) + _u32(1)
        parts += _around(b"sbgp", [Plain(bytes(4) + whole)])
    return _around(b"stbl", parts)


@dataclass(frozen=True, slots=True)
class Edit:
    """One line of an edit list: shown for `duration` of the movie's units, from `media_time` on."""

    duration: int
    media_time: int
    rate: int
    """16.16 fixed point."""


def _edits(head: bytes, edts: Box) -> list[Edit]:
    elst = only(b"elst", within(head, edts))
    wide = 8 if head[elst.body] else 4
    line = 2 * wide + 4
    first = elst.body + 8
    count = _number(head, elst.body + 4, 4)
    if first + count * line != elst.end:
        raise MediaError("an edit list does not hold the edits it says")
    edits = []
    for at in range(first, elst.end, line):
        media_time = int.from_bytes(head[at + wide : at + 2 * wide], "big", signed=True)
        edits.append(Edit(_number(head, at, wide), media_time, _number(head, at + 2 * wide, 4)))
    return edits


def _edit_list(edits: Sequence[Edit]) -> Plain:
    is_wide = any(edit.duration >= _FITS_32_BITS for edit in edits)
    wide = 8 if is_wide else 4
    body = bytes([is_wide, 0, 0, 0]) + _u32(len(edits))
    for edit in edits:
        body += edit.duration.to_bytes(wide, "big")
        body += edit.media_time.to_bytes(wide, "big", signed=True) + _u32(edit.rate)
    return Plain(box(b"elst", body))


def _with_duration(head: bytes, old: Box, duration: int) -> Plain:
    """An mvhd, tkhd or mdhd with another duration, in its wide form (version 1) if it needs that.

    All three are: creation and modification time, two words of which a tkhd's second is zero and
    the others have one only, duration, the rest. (Sections 8.2.2, 8.3.2, 8.4.2.)
    """
    version, flags = head[old.body], head[old.body + 1 : old.body + 4]
    wide = 8 if version else 4
    times = old.body + 4
    middle = times + 2 * wide
    last = middle + (8 if old.kind == b"tkhd" else 4)
    created = _number(head, times, wide)
    modified = _number(head, times + wide, wide)
    new_wide = 8 if max(created, modified, duration) >= _FITS_32_BITS else 4
    body = (
        bytes([new_wide == 8])
        + flags
        + created.to_bytes(new_wide, "big")
        + modified.to_bytes(new_wide, "big")
        + head[middle:last]
        + duration.to_bytes(new_wide, "big")
        + head[last + wide : old.end]
    )
    return Plain(header(old.kind, HEADER_BYTES + len(body)) + body)


def _timescale(head: bytes, box: Box) -> int:
    """Of an mvhd or mdhd. Raises `MediaError`."""
    timescale = _number(head, box.body + (20 if head[box.body] else 12), 4)
    if not timescale:
        raise MediaError("a timescale of zero")
    return timescale


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "big")


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _copy(head: bytes, box: Box) -> Plain:
    return Plain(head[box.start : box.end])


def _table(kind: bytes, entries: int, content: Part, *, version: int = 0) -> list[Part]:
    return _around(kind, [Plain(bytes([version, 0, 0, 0]) + _u32(entries)), content])


def _around(kind: bytes, parts: Sequence[Part]) -> list[Part]:
    return [Plain(header(kind, HEADER_BYTES + sum(map(len, parts)))), *parts]
