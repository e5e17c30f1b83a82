"""The index of an MP4 that grows by fragments: what makes an ordinary file of it at the end."""

from collections.abc import Mapping
from typing import BinaryIO

from worker.errors import MediaError
from worker.media.fragment_file import Unit
from worker.media.mp4_fragments import Defaults, read_defaults, read_runs
from worker.media.mp4_moov import Moov, moov_of
from worker.media.mp4_tables import SampleTables, Scratch


class FragmentIndex:
    """Follows a fragmented MP4 as it grows; its own memory does not."""

    def __init__(self, scratch: BinaryIO) -> None:
        """*scratch* is an empty file of its own, where the tables wait; closed by `close`."""
        self._scratch = Scratch(scratch)
        self._defaults: Mapping[int, Defaults] = {}
        self._tables: Mapping[int, SampleTables] = {}
        self._head: Unit | None = None

    @property
    def head_start(self) -> int | None:
        """Where the head is in the file; None before it came."""
        return self._head.start if self._head is not None else None

    def add(self, unit: Unit) -> None:
        """Take what comes next: the moov with which the file begins, then fragments.

        Raises `MediaError`, and then nothing of it was taken; `OSError` from the scratch file.
        """
        if unit.is_fragment:
            self._add_fragment(unit)
        elif self._head is not None:
            raise MediaError("a second head")
        else:
            self._defaults = read_defaults(unit.head)
            self._tables = {track_id: SampleTables(self._scratch) for track_id in self._defaults}
            self._head = unit

    def moov(self) -> Moov:
        """The index of all that was added; nothing can be added after. Raises `MediaError`."""
        if self._head is None:
            raise MediaError("a file without a head")
        for tables in self._tables.values():
            tables.finish()
        try:
            return moov_of(self._head.head, self._tables)
        except (IndexError, OverflowError) as exc:
            # Fields that are cut off, and times that fit nowhere: a torn file, or not ours.
            raise MediaError("a head that is damaged") from exc

    def _add_fragment(self, unit: Unit) -> None:
        runs = read_runs(unit.head, unit.start, self._defaults)
        if len({run.track_id for run in runs}) != len(runs):
            raise MediaError("a fragment with two runs of one track")
        for run in runs:
            if run.offset < unit.media.start or run.end > unit.media.stop:
                raise MediaError("a fragment's samples are not in it")
            if not self._tables[run.track_id].may_add(run):
                raise MediaError("a fragment does not follow the one before it")
        for run in runs:
            self._tables[run.track_id].add(run)

    def close(self) -> None:
        self._scratch.close()
