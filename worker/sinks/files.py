"""The sink of a record rule: one format's files, cut where the plan says, delivered behind it.

What fails is a file, never the sink: the disk may be full, the store away. Writing goes on in the
next file; delivering never holds up writing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from worker.core.record.naming import FileNames
from worker.core.record.plan import RecordPlan
from worker.core.record.rule import RecordFormat
from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import DestinationError
from worker.ports import (
    EncodedPacket,
    FileCompleted,
    FileStarted,
    PacketSource,
    Program,
    RecordedFile,
    RecordEvents,
    SinkReport,
)
from worker.sinks.open_file import OpenFile, OpenFiles
from worker.sinks.splitting import Begin, End, Piece, Splitter

T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_FAILURES = 15
"""Files in a row that failed before they were `HEALTHY_S` long: ten minutes, with the waits."""
LONGEST_WAIT_S = 60
HEALTHY_S = 60


@dataclass(slots=True)
class _Entry:
    """What is known of one file, for the result."""

    file: RecordedFile
    state: str = "writing"
    size: int = 0
    duration_s: float = 0.0
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.file.key,
            "start_s": round(self.file.start_s, 3),
            "duration_s": round(self.duration_s, 3),
            "size": self.size,
            "state": self.state,
            "error": self.error,
        }


@dataclass(slots=True)
class _Current:
    """The file that is written."""

    open: OpenFile
    entry: _Entry
    start: int
    """Its first sample of the output."""
    is_followed: bool = False
    """There is a task that delivers it."""

    def length_s(self, end: int) -> float:
        return (end - self.start) / SAMPLE_RATE_HZ


class FilesSink:
    """`ports.Sink` of one format."""

    def __init__(
        self,
        *,
        job_id: str,
        record_format: RecordFormat,
        plan: RecordPlan,
        names: FileNames,
        open_file: OpenFiles,
        events: RecordEvents,
        location: str,
        patience_s: float = 20.0,
    ) -> None:
        """*location*: the store's address. *patience_s*: how long the end waits for deliveries.

        What is not stored by then stays in the spool.
        """
        self._job_id = job_id
        self._format = record_format
        self._plan = plan
        self._names = names
        self._open_file = open_file
        self._events = events
        self._location = location
        self._patience_s = patience_s
        self._thread = ThreadPoolExecutor(1, self.name)
        self._entries: list[_Entry] = []
        self._current: _Current | None = None
        self._begun = 0
        self._deliveries: list[asyncio.Task[None]] = []
        self._failures = 0
        self._packets = 0
        self._bytes = 0
        self._error: str | None = None

    @property
    def name(self) -> str:
        return f"record-{self._format.value.lower()}"

    def report(self) -> SinkReport:
        return SinkReport(
            name=self.name,
            location=self._location,
            packets=self._packets,
            bytes=self._bytes,
            error=self._error,
            details={
                "format": self._format.value,
                "files": [entry.as_json() for entry in self._entries],
            },
            state="writing" if self._current is not None else "waiting",
            pending_bytes=sum(each.size for each in self._entries if each.state == "delivering"),
        )

    async def run(self, program: Program, packets: PacketSource) -> None:
        """Write and deliver until *packets* ends, then wait for deliveries; cancelled, close.

        Raises `DestinationError` at the end for what is not in the store, or was not written.
        """
        self._splitter = Splitter(program, self._plan.cuts(self._format))
        gave_up = False
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    while batch := await packets.get_all():
                        self._packets += len(batch)
                        self._bytes += sum(len(packet.data) for packet in batch)
                        await self._follow(self._splitter.take(batch), program, group)
                    await self._follow(self._splitter.finish(), program, group)
                except DestinationError as exc:
                    self._note(exc)
                    gave_up = True
                    # What was written before is delivered for as long as the job lives.
                    while await packets.get_all():
                        pass
                finally:
                    if self._current is not None:
                        await asyncio.shield(self._close(self._current.open.written_s, group))
                await self._wait()
        finally:
            self._thread.shutdown(wait=False)
            for entry in self._entries:
                if entry.state != "stored":
                    entry.state = "spooled"
        if gave_up or any(entry.state != "stored" for entry in self._entries):
            raise DestinationError(self._error or "not everything was stored in time")

    async def _follow(
        self, pieces: Iterable[Piece], program: Program, group: asyncio.TaskGroup
    ) -> None:
        """Do what *pieces* say, packets many at a time."""
        waiting: list[EncodedPacket] = []
        for piece in pieces:
            match piece:
                case Begin():
                    await self._write(waiting, group)
                    await self._begin(piece, program)
                case End(sample):
                    await self._write(waiting, group)
                    if self._current is not None:
                        await self._close(self._current.length_s(sample), group)
                case packet:
                    waiting.append(packet)
        await self._write(waiting, group)

    async def _begin(self, begin: Begin, program: Program) -> None:
        start_s = begin.sample / SAMPLE_RATE_HZ
        start_unix_s = self._plan.origin_unix_s + start_s
        size = None if program.video is None else program.video.template.size
        self._begun += 1
        file = RecordedFile(
            job_id=self._job_id,
            # The time keeps it apart from those of another attempt at the same job.
            file_id=f"{self.name}-{round(start_unix_s * 1000)}-{self._begun}",
            record_format=self._format.value,
            key=self._names.next(start_unix_s),
            start_s=start_s,
            start_unix_s=start_unix_s,
            width=0 if size is None else size.width,
            height=0 if size is None else size.height,
        )
        try:
            opened = await self._on_thread(self._open_file, file, program, begin.late_samples)
        except DestinationError as exc:
            self._lost(exc, written_s=0.0)
        else:
            self._current = _Current(opened, _Entry(file), begin.sample)
            self._entries.append(self._current.entry)

    async def _write(self, waiting: list[EncodedPacket], group: asyncio.TaskGroup) -> None:
        """Write what is *waiting*, and empty it; without a file it is what a failed one missed."""
        packets, waiting[:] = tuple(waiting), ()
        current = self._current
        if current is None or not packets:
            return
        try:
            await self._on_thread(current.open.write, packets)
            self._announce(current, group)
        except DestinationError as exc:
            await self._fail(exc, group)

    async def _fail(self, failure: DestinationError, group: asyncio.TaskGroup) -> None:
        """Close the file with what is in it; another one begins later."""
        current = self._current
        assert current is not None
        current.entry.error = str(failure)
        written_s = current.open.written_s
        await self._close(written_s, group)
        self._lost(failure, written_s)

    async def _close(self, length_s: float, group: asyncio.TaskGroup) -> None:
        """Close the open file, which is *length_s* long unless that fails."""
        current, self._current = self._current, None
        assert current is not None
        entry = current.entry
        entry.state = "delivering"
        entry.duration_s = length_s
        try:
            try:
                await self._on_thread(current.open.close, length_s)
            finally:
                entry.duration_s = current.open.written_s
                self._announce(current, group)
        except DestinationError as exc:
            self._note(exc)
            entry.error = entry.error or str(exc)
        if not current.is_followed:
            self._leave(current)

    def _announce(self, current: "_Current", group: asyncio.TaskGroup) -> None:
        current.entry.size = current.open.size
        current.open.announce()
        if current.open.size and not current.is_followed:
            current.is_followed = True
            self._deliveries.append(
                group.create_task(self._deliver(current), name=current.entry.file.file_id)
            )

    def _leave(self, current: "_Current") -> None:
        """A file nobody delivers: without a byte it was none, else it stays in the spool."""
        if current.open.size:
            current.entry.state = "spooled"
        else:
            self._entries.remove(current.entry)
            current.open.discard()

    async def _deliver(self, current: "_Current") -> None:
        """Announce the file, and once more when it can be read."""
        entry = current.entry
        try:
            await self._events.publish(FileStarted(entry.file))
            stored = await current.open.deliver()
            entry.file = replace(entry.file, key=stored.key)
            entry.size = stored.size
            entry.state = "stored"
            await self._events.publish(
                FileCompleted(entry.file, self._location, stored.size, entry.duration_s)
            )
            current.open.forget()
        except DestinationError as exc:
            entry.error = entry.error or str(exc)
            self._note(exc)

    async def _wait(self) -> None:
        """For deliveries, not for ever: the store may be away for hours."""
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=self._patience_s)
            for delivery in late:
                delivery.cancel()

    def _lost(self, failure: DestinationError, written_s: float) -> None:
        """Have another file begun after a while. Raises *failure* when there were too many."""
        self._note(failure)
        self._failures = 1 if written_s >= HEALTHY_S else self._failures + 1
        if self._failures > MOST_FAILURES:
            raise failure
        wait_s = min(2 ** min(self._failures, 10), LONGEST_WAIT_S)
        self._splitter.lose(wait_samples=wait_s * SAMPLE_RATE_HZ)

    def _note(self, failure: DestinationError) -> None:
        self._error = str(failure)
        log.warning("file failed", extra={"sink": self.name, "code": failure.code})

    async def _on_thread(self, call: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, call, *arguments)
