"""The control plane's ends of the lines to its workers.

What a worker tells of its job goes on record when it matters, and stays in memory for people;
what the record says the job should be is told to the worker, at once and after every change.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from worker.core.lifecycle import State, StopReason
from worker.errors import NotFound, RecordsDown
from worker.jobs.channel_messages import (
    STILL,
    BadChannelMessage,
    Desired,
    Told,
    desired_text,
    parse_told,
)
from worker.jobs.ports import Records
from worker.jobs.values import JobRecord, Json

log = logging.getLogger(__name__)

FOLLOW_S = 0.25
"""How often changes that were made elsewhere are looked for."""
STILL_TIMEOUT_S = 2.0
MAX_DESCRIPTION_CHARS = 2000

TRY_AGAIN = frozenset({StopReason.SIGNAL, StopReason.INTERNAL_ERROR})
"""Why a worker may end although its job goes on: another one takes over."""


class Socket(Protocol):
    """A connection on which whole messages come and go."""

    async def receive(self) -> str | bytes | None:
        """None when it is closed."""
        ...

    async def send(self, text: str) -> None:
        """Raises `ConnectionError` when nobody is there any more."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Line:
    socket: Socket
    attempt: int
    report: Json = field(default_factory=dict)
    noted: tuple[Any, ...] = ()
    """What of the worker's words is on record."""
    revision: int = -1
    """Of the record the worker knows."""
    has_said_all: bool = False
    still: asyncio.Future[bytes] | None = None
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever reads the record has told it before the next one reads: nothing older comes later."""


class Lines:
    """`ports.Watch`, for the workers that are connected to this control plane."""

    def __init__(
        self, records: Records, *, unix_ms: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """*on_change* is called when a job has moved on."""
        self._records = records
        self._unix_ms = unix_ms
        self._on_change = on_change
        # One for each worker: bounded by the quota of jobs.
        self._lines: dict[str, _Line] = {}
        self._changed = asyncio.Event()

    def is_connected(self, job_id: str, attempt: int) -> bool:
        """Whether that worker can be told something."""
        line = self._lines.get(job_id)
        return line is not None and line.attempt == attempt

    def report(self, job_id: str) -> Json | None:
        line = self._lines.get(job_id)
        return line.report if line is not None and line.report else None

    async def still(self, job_id: str) -> bytes | None:
        line = self._lines.get(job_id)
        if line is None:
            return None
        if line.still is None:
            line.still = asyncio.get_running_loop().create_future()
            try:
                await line.socket.send(STILL)
            except ConnectionError:
                line.still = None
                return None
        asked = line.still
        try:
            async with asyncio.timeout(STILL_TIMEOUT_S):
                return await asyncio.shield(asked) or None
        except TimeoutError:
            if line.still is asked:
                line.still = None
            return None

    def wake(self) -> None:
        """A record has changed here: tell the worker now."""
        self._changed.set()

    async def serve(self, job_id: str, attempt: int, socket: Socket) -> None:
        """Talk with the worker of *attempt* until it hangs up."""
        line = _Line(socket, attempt)
        before = self._lines.get(job_id)
        if before is not None and before.attempt > attempt:
            # A worker that was replaced: it may go.
            await socket.send(desired_text(Desired(is_stopped=True, has_all=True)))
            return
        self._lines[job_id] = line
        if before is not None:
            await before.socket.close()
        try:
            await self._tell(job_id, line)
            while (message := await socket.receive()) is not None:
                await self._hear(job_id, line, message)
        except ConnectionError:
            pass  # it dials again
        finally:
            if self._lines.get(job_id) is line:
                del self._lines[job_id]

    async def follow(self) -> None:
        """Tell workers what changes on record, here or elsewhere, until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._tell_changes()
            except RecordsDown as exc:
                log.error("the database does not answer", extra={"why": str(exc)})
            try:
                async with asyncio.timeout(FOLLOW_S):
                    await self._changed.wait()
            except TimeoutError:
                pass  # time to look again

    async def _tell_changes(self) -> None:
        revisions = await self._records.revisions(list(self._lines))
        for job_id, revision in revisions.items():
            line = self._lines.get(job_id)
            if line is not None and line.revision != revision:
                try:
                    await self._tell(job_id, line)
                except ConnectionError:
                    pass  # it dials again

    async def _tell(self, job_id: str, line: _Line) -> None:
        async with line.telling:
            record = await self._records.any_job(job_id)
            if record is None or record.attempt != line.attempt:
                desired = Desired(is_stopped=True, has_all=True)
            else:
                desired = Desired(
                    is_stopped=not record.is_live,
                    mix_param=record.document.get("mix_param"),
                    has_all=line.has_said_all,
                )
                line.revision = record.revision
            await line.socket.send(desired_text(desired))

    async def _hear(self, job_id: str, line: _Line, message: str | bytes) -> None:
        if isinstance(message, bytes):
            asked, line.still = line.still, None
            if asked is not None and not asked.done():
                asked.set_result(message)
            return
        try:
            told = parse_told(message)
        except BadChannelMessage as exc:
            log.warning("nonsense from a worker", extra={"job": job_id, "why": str(exc)})
            return
        line.report = told.report
        said = (told.state, told.reason, told.description)
        if said != line.noted:
            await self._note(job_id, line, told)
            line.noted = said
        if told.is_final and not line.has_said_all:
            line.has_said_all = True
            await self._tell(job_id, line)

    async def _note(self, job_id: str, line: _Line, told: Told) -> None:
        try:
            await self._records.change_job(
                job_id, lambda record: noted(record, line.attempt, told, self._unix_ms())
            )
        except NotFound:
            return  # removed with its application
        self._on_change()


def noted(record: JobRecord, attempt: int, told: Told, now_unix_ms: int) -> JobRecord:
    """*record* after the worker of *attempt* told *told*; words of a replaced one do not count."""
    if attempt != record.attempt:
        return record
    if told.description:
        record = replace(record, description=told.description[:MAX_DESCRIPTION_CHARS])
    if told.state is State.RUNNING and record.state is State.INIT:
        return replace(record, state=State.RUNNING, started_unix_ms=now_unix_ms)
    if told.state is State.STOPPED and record.is_live and told.reason not in TRY_AGAIN:
        return replace(record, state=State.STOPPED, reason=told.reason, stopped_unix_ms=now_unix_ms)
    return record
