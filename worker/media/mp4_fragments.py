"""What a fragmented MP4 says of its samples: the tracks of its head, the runs of each fragment.

A sample here is MP4's: one packet. (ISO/IEC 14496-12, sections 8.8.3 trex, 8.8.7 tfhd,
8.8.8 trun, 8.8.12 tfdt.)
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from worker.errors import MediaError
from worker.media.mp4_boxes import Box, children, only, within

_NOT_SYNC = 0x10000
"""sample_is_non_sync_sample, in a sample's flags."""

_MOST_SAMPLES = 1 << 20
"""Of one run. A damaged count of samples without fields of their own would fill the memory."""

_BASE_OFFSET, _DESCRIPTION, _DURATION, _SIZE, _FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
"""Which fields a tfhd has."""
_RUN_OFFSET, _RUN_FIRST_FLAGS = 0x1, 0x4
_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_COMPOSITION = 0x100, 0x200, 0x400, 0x800
"""Which fields a trun has."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every sample that does not say otherwise."""

    duration: int
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class Run:
    """Samples of one track that lie behind each other in the file, in decoding order.

    All tuples have one element per sample; times in units of the track's timescale.
    """

    track_id: int
    offset: int
    """Of the first byte, in the file."""
    decode_time: int
    """Of the first sample."""
    durations: tuple[int, ...]
    sizes: tuple[int, ...]
    compositions: tuple[int, ...]
    """Presentation minus decoding time."""
    sync: tuple[bool, ...]

    @property
    def end(self) -> int:
        """Where the last byte ends, in the file."""
        return self.offset + sum(self.sizes)


def is_fragmented(moov: bytes) -> bool:
    """Whether a file with this *moov* has fragments. Raises `MediaError`."""
    return any(box.kind == b"mvex" for box in children(moov, 8, len(moov)))


def read_defaults(moov: bytes) -> Mapping[int, Defaults]:
    """The tracks of a fragmented file by id, from its whole moov box. Raises `MediaError`."""
    mvex = only(b"mvex", list(children(moov, 8, len(moov))))
    defaults = {}
    for trex in within(moov, mvex):
        if trex.kind == b"trex":
            _, track_id, _, *values = _unpack(">6I", moov, trex.body, trex)
            defaults[track_id] = Defaults(*values)
    return defaults


def read_runs(moof: bytes, start: int, tracks: Mapping[int, Defaults]) -> list[Run]:
    """The runs of one fragment, from its whole moof box, which lies at *start* in the file.

    Raises `MediaError` for anything that is not a fragment of these *tracks*.
    """
    runs: list[Run] = []
    for traf in children(moof, 8, len(moof)):
        if traf.kind != b"traf":
            continue
        inner = within(moof, traf)
        header = only(b"tfhd", inner)
        track_id, base, defaults = _track_header(moof, header, start, tracks)
        decode_time = _decode_time(moof, only(b"tfdt", inner))
        position = base
        for trun in inner:
            if trun.kind == b"trun":
                run = _run(moof, trun, track_id, base, position, decode_time, defaults)
                position = run.end
                decode_time += sum(run.durations)
                runs.append(run)
    return runs


def _track_header(
    moof: bytes, tfhd: Box, start: int, tracks: Mapping[int, Defaults]
) -> tuple[int, int, Defaults]:
    """Track id, where its data offsets count from, and its defaults in this fragment."""
    flags, track_id = _unpack(">2I", moof, tfhd.body, tfhd)
    if track_id not in tracks:
        raise MediaError(f"a fragment of track {track_id}, which is not in the head")
    trex = tracks[track_id]
    position = tfhd.body + 8
    base = start
    if flags & _BASE_OFFSET:
        (base,) = _unpack(">Q", moof, position, tfhd)
        position += 8
    if flags & _DESCRIPTION:
        position += 4
    values: list[int] = []
    for field, fallback in (
        (_DURATION, trex.duration),
        (_SIZE, trex.size),
        (_FLAGS, trex.flags),
    ):
        if flags & field:
            values += _unpack(">I", moof, position, tfhd)
            position += 4
        else:
            values.append(fallback)
    return track_id, base, Defaults(*values)


def _decode_time(moof: bytes, tfdt: Box) -> int:
    (version,) = _unpack(">B", moof, tfdt.body, tfdt)
    (time,) = _unpack(">Q" if version else ">I", moof, tfdt.body + 4, tfdt)
    return int(time)


def _run(
    moof: bytes,
    trun: Box,
    track_id: int,
    base: int,
    position: int,
    decode_time: int,
    defaults: Defaults,
) -> Run:
    flags, count = _unpack(">2I", moof, trun.body, trun)
    version, flags = flags >> 24, flags & 0xFFFFFF
    at = trun.body + 8
    if flags & _RUN_OFFSET:
        position = base + _unpack(">i", moof, at, trun)[0]
        at += 4
    first_flags = None
    if flags & _RUN_FIRST_FLAGS:
        (first_flags,) = _unpack(">I", moof, at, trun)
        at += 4
    fields = [
        field for field in (_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_COMPOSITION) if flags & field
    ]
    if at + 4 * len(fields) * count != trun.end or not 0 < count <= _MOST_SAMPLES:
        raise MediaError("a run does not hold the samples it says")
    # Sample by sample, field by field.
    values = struct.unpack_from(f">{len(fields) * count}I", moof, at)

    def column(field: int, fallback: int) -> tuple[int, ...]:
        if field in fields:
            return values[fields.index(field) :: len(fields)]
        return (fallback,) * count

    sample_flags = column(_RUN_FLAGS, defaults.flags)
    if first_flags is not None:
        sample_flags = (first_flags, *sample_flags[1:])
    compositions = column(_RUN_COMPOSITION, 0)
    if version:
        compositions = tuple(value - (value >> 31 << 32) for value in compositions)
    return Run(
        track_id=track_id,
        offset=position,
        decode_time=decode_time,
        durations=column(_RUN_DURATION, defaults.duration),
        sizes=column(_RUN_SIZE, defaults.size),
        compositions=compositions,
        sync=tuple(not flags & _NOT_SYNC for flags in sample_flags),
    )


def _unpack(form: str, data: bytes, position: int, inside: Box) -> tuple[int, ...]:
    """Fields of a box, which must reach so far. Raises `MediaError`."""
    if position + struct.calcsize(form) > inside.end:
        raise MediaError(f"a {inside.kind.decode('latin-1')} box is too short")
    return struct.unpack_from(form, data, position)
