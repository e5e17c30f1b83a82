"""Carries the files of one job from the spool into a store."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from worker.errors import DestinationError
from worker.ports import (
    Clock,
    FileCompleted,
    RecordedFile,
    RecordEvent,
    RecordEvents,
    Store,
    StoredObject,
)
from worker.storage import journal as journals
from worker.storage import ledger
from worker.storage.carrier import Carrier
from worker.storage.journal import Journal
from worker.storage.keys import checked
from worker.storage.ledger import StoredSegment
from worker.storage.parcel import SpoolParcel
from worker.storage.retry import Patience, Retry

log = logging.getLogger(__name__)

_SEGMENTS = "HLS"
"""The record format whose files are many, and leave the spool one by one."""


@dataclass(frozen=True, slots=True)
class CourierState:
    """How far behind the recording the store is, for people and metrics."""

    uploaded_bytes: int
    pending_bytes: int
    lag_s: float
    """How long the oldest bytes have waited that could be in the store."""
    failures: int
    """Attempts that failed so far."""
    last_error: str | None
    """None again once an attempt has succeeded."""


class SpoolCourier:
    """`ports.Courier`; made by `open_courier`. Files lie in one directory of the spool."""

    def __init__(self, carrier: Carrier, directory: Path) -> None:
        self._carrier = carrier
        self.directory = directory
        self._parcels: dict[Path, SpoolParcel] = {}
        """Not delivered yet, or not announced."""

    @property
    def state(self) -> CourierState:
        tally, now_s = self._carrier.tally, self._carrier.now_s()
        on_the_way = [each for each in self._parcels.values() if not each.is_delivered]
        return CourierState(
            uploaded_bytes=tally.uploaded_bytes,
            pending_bytes=sum(parcel.pending_bytes for parcel in on_the_way),
            lag_s=max((parcel.lag_s(now_s) for parcel in on_the_way), default=0.0),
            failures=tally.failures,
            last_error=tally.last_error,
        )

    async def check(self) -> None:
        """Find out early what will go wrong later; it is in the `state` and the log."""
        try:
            await self._carrier.store.check()
        except DestinationError as exc:
            self._carrier.failed(exc)

    def collect(
        self, file: RecordedFile, path: Path, *, key: str, content_type: str
    ) -> SpoolParcel:
        """Follow the file at *path*. Raises `DestinationError` for a key that is none."""
        journal = Journal(
            file=file,
            asked_key=checked(key),
            key=key,
            store=self._carrier.store.address,
            content_type=content_type,
        )
        parcel = self._followed(path, journal)
        self._carrier.spawn(f"journal:{path.name}", parcel.keep(), is_brief=True)
        return parcel

    async def take_over(self, path: Path, journal: Journal) -> SpoolParcel:
        """The parcel of a file that a worker before us left, which nobody writes any more."""
        parcel = self._followed(path, journal)
        await parcel.resume()
        return parcel

    async def put(self, key: str, data: bytes, *, content_type: str) -> StoredObject:
        store = self._carrier.store
        stored = await self._carrier.slot(
            lambda: store.put(key, data, content_type=content_type, replace=True)
        )
        self._carrier.tally.uploaded_bytes += stored.size
        return stored

    async def announced(self, file: RecordedFile) -> None:
        """What was kept for the recovery of a completed file may go."""
        for path, parcel in list(self._parcels.items()):
            kept = parcel.journal.file
            if parcel.is_delivered and (kept.job_id, kept.file_id) == (file.job_id, file.file_id):
                del self._parcels[path]
                await self._carrier.in_thread(self._remove, path)
        await self._carrier.in_thread(_unlink, ledger.path_of(self.directory, file))

    def _followed(self, path: Path, journal: Journal) -> SpoolParcel:
        parcel = SpoolParcel(self._carrier, path, journal, self._delivered)
        self._parcels[path] = parcel
        return parcel

    async def _delivered(self, parcel: SpoolParcel) -> None:
        """A segment leaves the spool at once; an MP4 stays until it was announced."""
        journal = parcel.journal
        if journal.file.record_format != _SEGMENTS:
            return
        segment = StoredSegment(parcel.path.name, journal.key, journal.size)
        try:
            await self._carrier.in_thread(
                ledger.note, self.directory, journal.file, journal.store, segment
            )
        except DestinationError as exc:
            # A full disk: its own journal says the same, so both stay.
            log.warning("ledger not kept", extra={"file": parcel.path.name, "error": str(exc)})
            return
        del self._parcels[parcel.path]
        await self._carrier.in_thread(self._remove, parcel.path)

    def _remove(self, path: Path) -> None:
        """On the thread. The journal goes last: without it nobody knows what the file is."""
        _unlink(path)
        _unlink(journals.path_of(path))


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("file not removed", extra={"file": path.name, "error": exc.strerror})


class AnnouncedEvents:
    """`ports.RecordEvents` that lets the courier tidy up behind each completed file."""

    def __init__(self, events: RecordEvents, courier: SpoolCourier) -> None:
        self._events = events
        self._courier = courier

    async def publish(self, event: RecordEvent) -> None:
        await self._events.publish(event)
        if isinstance(event, FileCompleted):
            await self._courier.announced(event.file)


@asynccontextmanager
async def open_courier(
    store: Store,
    directory: Path,
    *,
    clock: Clock,
    random: Random,
    patience: Patience | None = None,
) -> AsyncIterator[SpoolCourier]:
    """A courier for files in *directory*; what is still on its way on leaving stays there.

    The store is looked at once, in the background. Without *patience* it is asked for ever.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        carrier = Carrier(store, clock, Retry(clock, random, patience), group)
        courier = SpoolCourier(carrier, directory)
        carrier.spawn("courier:check", courier.check())
        try:
            yield courier
        except BaseException as exc:
            # Raised again below: the group would wrap it, and it is none of the group's.
            failure = exc
        finally:
            carrier.close()
    carrier.end_thread()
    if failure is not None:
        raise failure
