"""The sample tables of an ordinary MP4, grown run by run, in memory that does not grow.

What has been added lies on a scratch file, already in the form in which the index wants it:
an hour of video and sound is about 0.8 MB there. (ISO/IEC 14496-12, section 8.6 and 8.7.)
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from worker.media.mp4_fragments import Run

BLOCK_BYTES = 16 << 10
"""Of one table, kept in memory before it goes to the scratch file."""

_LONGEST_GAP = 1 << 31
"""Between two runs, in units of the timescale; what a duration of 32 bits can bridge."""


class Scratch:
    """Blocks of bytes in a file; shared by many tables."""

    def __init__(self, file: BinaryIO) -> None:
        """*file* is empty, readable, writable and seekable, and this object's own."""
        self._file = file
        self._end = 0

    def put(self, block: bytes | bytearray) -> int:
        """Keep *block*; where it is. Raises `OSError`."""
        position = self._end
        self._file.seek(position)
        self._file.write(block)
        self._end += len(block)
        return position

    def get(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


class Column:
    """Bytes that are only appended to; the last block of them in memory."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._blocks: list[tuple[int, int]] = []
        self._waiting = bytearray()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, data: bytes) -> None:
        """Raises `OSError`."""
        self._waiting += data
        self._length += len(data)
        if len(self._waiting) >= BLOCK_BYTES:
            self._blocks.append((self._scratch.put(self._waiting), len(self._waiting)))
            self._waiting.clear()

    def pieces(self) -> Iterator[bytes]:
        """All of it, block by block."""
        for position, size in self._blocks:
            yield self._scratch.get(position, size)
        yield bytes(self._waiting)


class RunLengths:
    """Numbers as the pairs (how often, which) of an stts or ctts table, 32 bits each."""

    def __init__(self, scratch: Scratch) -> None:
        self._pairs = Column(scratch)
        self._count = 0
        self._value = 0
        self.is_plain = True
        """Only zeros so far."""
        self.is_signed = False

    def append(self, value: int) -> None:
        """Raises `OSError`."""
        if value != self._value:
            if self._count:
                self._pairs.append(self._pair())
                self._count = 0
            self._value = value
            self.is_plain = False
            self.is_signed |= value < 0
        self._count += 1

    @property
    def entries(self) -> int:
        return len(self._pairs) // 8 + (self._count > 0)

    def __len__(self) -> int:
        return 8 * self.entries

    def pieces(self) -> Iterator[bytes]:
        yield from self._pairs.pieces()
        if self._count:
            yield self._pair()

    def _pair(self) -> bytes:
        return self._count.to_bytes(4, "big") + (self._value % (1 << 32)).to_bytes(4, "big")


class SampleTables:
    """The tables of one track. A run is a chunk."""

    def __init__(self, scratch: Scratch) -> None:
        self.durations = RunLengths(scratch)
        """All but the last sample's, see `finish`."""
        self.compositions = RunLengths(scratch)
        self.sizes = Column(scratch)
        """32 bits per sample."""
        self.sync = Column(scratch)
        """Numbers, from 1, of the samples one may seek to, 32 bits each; empty when all are."""
        self.chunks = Column(scratch)
        """Offsets in the file, 64 bits each."""
        self.chunk_sizes = Column(scratch)
        """Triples (first chunk, samples in it and the next ones, description), 32 bits each."""
        self.samples = 0
        self.end_time = 0
        """Decoding time at which the last sample ends."""
        self.last_offset = 0
        """Of the last chunk."""
        self.all_sync = True
        self._samples_per_chunk = 0
        self._last_start = 0
        self._finished = False

    def may_add(self, run: Run) -> bool:
        """Whether *run* follows what is there; the first one begins at time 0."""
        if not self.samples:
            return run.decode_time == 0
        return self._last_start <= run.decode_time < self.end_time + _LONGEST_GAP

    def add(self, run: Run) -> None:
        """Take the next run of this track, of which `may_add` was true. Raises `OSError`.

        A sample lasts until the next one begins, so times are those of the fragments even
        where one of them was wrong about the length of its last sample.
        """
        if self.samples:
            self.durations.append(run.decode_time - self._last_start)
        for duration in run.durations[:-1]:
            self.durations.append(duration)
        self.end_time = run.decode_time + sum(run.durations)
        self._last_start = self.end_time - run.durations[-1]

        for composition in run.compositions:
            self.compositions.append(composition)
        self.sizes.append(struct.pack(f">{len(run.sizes)}I", *run.sizes))
        self._add_sync(run.sync)
        self._add_chunk(run)
        self.samples += len(run.sizes)

    def finish(self) -> None:
        """Say that there are no more runs."""
        if self.samples and not self._finished:
            self.durations.append(self.end_time - self._last_start)
        self._finished = True

    def _add_sync(self, sync: tuple[bool, ...]) -> None:
        if self.all_sync and not all(sync):
            # From now on there is a list; so far every sample belongs into it.
            self.all_sync = False
            for number in range(1, self.samples + 1):
                self.sync.append(number.to_bytes(4, "big"))
        if not self.all_sync:
            for number, is_sync in enumerate(sync, self.samples + 1):
                if is_sync:
                    self.sync.append(number.to_bytes(4, "big"))

    def _add_chunk(self, run: Run) -> None:
        self.chunks.append(run.offset.to_bytes(8, "big"))
        self.last_offset = run.offset
        if len(run.sizes) != self._samples_per_chunk:
            self._samples_per_chunk = len(run.sizes)
            triple = (len(self.chunks) // 8, self._samples_per_chunk, 1)
            self.chunk_sizes.append(b"".join(number.to_bytes(4, "big") for number in triple))
