"""Reads MP4 files by the letter of ISO/IEC 14496-12, apart from the code that writes them."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_CONTAINERS = {"moov", "trak", "mdia", "minf", "stbl", "edts", "dinf", "mvex", "moof", "traf"}


@dataclass
class Node:
    """One box; `payload` only of boxes that hold no others, and not of mdat and free."""

    kind: str
    start: int
    size: int
    payload: bytes = b""
    children: list["Node"] = field(default_factory=list)

    def find(self, path: str) -> list["Node"]:
        """All boxes at a path like "mdia/minf/stbl/stts"."""
        first, _, rest = path.partition("/")
        found = [child for child in self.children if child.kind == first]
        return found if not rest else [deep for child in found for deep in child.find(rest)]

    def get(self, path: str) -> "Node":
        [node] = self.find(path)
        return node


@dataclass
class TrackSamples:
    """Every sample of one track as its tables tell."""

    timescale: int
    media_duration: int
    shown_duration: int
    edits: list[tuple[int, int]]
    """(duration, media time) each."""
    times: list[int]
    """Presentation, in the track's units, without edits."""
    offsets: list[int]
    sizes: list[int]
    sync: set[int] | None
    """Numbers from 1; None when all are."""


def read_tree(path: Path) -> Node:
    """All boxes of a file; fails when they do not fill it exactly."""
    size = path.stat().st_size
    root = Node("file", 0, size)
    with path.open("rb") as file:
        _fill(root, file, 0, size)
    return root


def _fill(parent: Node, file: BinaryIO, start: int, end: int) -> None:
    while start < end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            body += 8
        assert body - start <= size <= end - start, (parent.kind, kind, start, size)
        node = Node(kind.decode("latin-1"), start, size)
        if node.kind in _CONTAINERS:
            _fill(node, file, body, start + size)
        elif node.kind not in ("mdat", "free"):
            node.payload = file.read(start + size - body)
        parent.children.append(node)
        start += size
    assert start == end


def read_samples(moov: Node) -> dict[str, TrackSamples]:
    """The tracks of an ordinary file by handler ("vide", "soun")."""
    tracks = {}
    for trak in moov.find("trak"):
        handler = trak.get("mdia/hdlr").payload[8:12].decode()
        tracks[handler] = _track(trak)
    return tracks


def _track(trak: Node) -> TrackSamples:
    stbl = trak.get("mdia/minf/stbl")
    timescale, media_duration = _duration(trak.get("mdia/mdhd").payload, ">II", ">IQ")
    _, _, shown_duration = _duration(trak.get("tkhd").payload, ">III", ">IIQ")
    sizes = _sizes(stbl.get("stsz").payload)
    decode, time = [], 0
    for count, delta in _pairs(stbl.get("stts").payload):
        for _ in range(count):
            decode.append(time)
            time += delta
    assert time == media_duration
    shifts = [0] * len(decode)
    for ctts in stbl.find("ctts"):
        form = "i" if ctts.payload[0] else "I"
        shifts = [shift for count, shift in _pairs(ctts.payload, form) for shift in [shift] * count]
    assert len(decode) == len(sizes) == len(shifts)
    sync = None
    for stss in stbl.find("stss"):
        sync = {number for (number,) in struct.iter_unpack(">I", stss.payload[8:])}
        assert len(sync) == struct.unpack_from(">I", stss.payload, 4)[0]
    return TrackSamples(
        timescale,
        media_duration,
        shown_duration,
        _edits(trak.get("edts/elst").payload),
        [one + shift for one, shift in zip(decode, shifts, strict=True)],
        _offsets(stbl, sizes),
        sizes,
        sync,
    )


def _duration(payload: bytes, narrow: str, wide: str) -> tuple[int, ...]:
    return (
        struct.unpack_from(wide, payload, 20)
        if payload[0]
        else (struct.unpack_from(narrow, payload, 12))
    )


def _pairs(payload: bytes, form: str = "I") -> list[tuple[int, int]]:
    pairs = list(struct.iter_unpack(f">I{form}", payload[8:]))
    assert len(pairs) == struct.unpack_from(">I", payload, 4)[0]
    return pairs


def _sizes(payload: bytes) -> list[int]:
    fixed, count = struct.unpack_from(">II", payload, 4)
    sizes = [size for (size,) in struct.iter_unpack(">I", payload[12:])]
    assert fixed == 0 and len(sizes) == count
    return sizes


def _edits(payload: bytes) -> list[tuple[int, int]]:
    form = ">QqI" if payload[0] else ">IiI"
    edits = list(struct.iter_unpack(form, payload[8:]))
    assert len(edits) == struct.unpack_from(">I", payload, 4)[0]
    assert all(rate == 0x10000 for _, _, rate in edits)
    return [(duration, media_time) for duration, media_time, _ in edits]


def _offsets(stbl: Node, sizes: list[int]) -> list[int]:
    chunks = [
        offset
        for kind, form in (("stco", ">I"), ("co64", ">Q"))
        for box in stbl.find(kind)
        for (offset,) in struct.iter_unpack(form, box.payload[8:])
    ]
    lines = list(struct.iter_unpack(">III", stbl.get("stsc").payload[8:]))
    offsets: list[int] = []
    for index, (first, samples, description) in enumerate(lines):
        assert description == 1
        until = lines[index + 1][0] if index + 1 < len(lines) else len(chunks) + 1
        for chunk in range(first, until):
            position = chunks[chunk - 1]
            for size in sizes[len(offsets) : len(offsets) + samples]:
                offsets.append(position)
                position += size
    assert len(offsets) == len(sizes)
    return offsets
