"""Finishes what crashed workers have left in the spool: files, uploads, and the word about them.

May be interrupted at any moment, and run again. A file is announced once its journal says that it
is stored, and the journal goes after that: a crash in between announces it twice, the same.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from worker.errors import DestinationError, MediaError
from worker.ports import Clock, FileCompleted, RecordedFile, RecordEvents, Store
from worker.storage import hls_recovery, ledger
from worker.storage import journal as journals
from worker.storage.courier import AnnouncedEvents, SpoolCourier, open_courier
from worker.storage.hls_recovery import SegmentedRecording, segmented_recordings
from worker.storage.journal import Journal
from worker.storage.retry import Patience
from worker.storage.salvage import salvage_upload
from worker.storage.spool import JobSpool

log = logging.getLogger(__name__)

StoreFor = Callable[[str], AbstractAsyncContextManager[Store]]
"""Opens the store of that address. Raises `DestinationError` for one we have no keys to."""
EventsFor = Callable[[JobSpool], AbstractAsyncContextManager[RecordEvents]]
"""Opens the line of events of an orphaned job, also when there is nothing to announce."""
Finish = Callable[[Path], float]
"""Makes a whole file of one that was cut (MP4, or a segment); returns its seconds.

May be called again. Raises `MediaError` when nothing can be saved. Called on a thread.
"""

UNREADABLE = ".unreadable"
"""Added to the name of a file of which nothing can be saved."""
_SEGMENTS = "HLS"
_LONGEST_PLAYLIST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one file of the spool, or of one HLS recording."""

    name: str
    file: RecordedFile | None = None
    """None when it cannot be told what it is; its key is the one it has."""
    location: str = ""
    """The store's address, once it is stored and announced."""
    size: int = 0
    duration_s: float = 0.0
    error: str | None = None
    """Why it is still in the spool, or what is missing."""


async def recover_job(
    job: JobSpool,
    store_for: StoreFor,
    events_for: EventsFor,
    finish: Finish,
    *,
    clock: Clock,
    random: Random,
    patience: Patience | None = None,
) -> list[Recovered]:
    """Deliver and announce everything in one folder whose worker is dead.

    Before anything new is written to it. Without *patience* a store that does not answer is asked
    for ever; cancel it to give up.
    """
    kept, recovered = _journals(job.directory)
    addresses = {journal.store for _, journal in kept}
    try:
        segmented = segmented_recordings(
            job.directory, [each for each in kept if each[1].file.record_format == _SEGMENTS]
        )
    except DestinationError as exc:
        segmented = []
        recovered.append(Recovered(job.directory.name, error=str(exc)))
    addresses |= {recording.store for recording in segmented}
    thread = ThreadPoolExecutor(1, "recovery")
    try:
        async with events_for(job) as events:
            for address in sorted(addresses):
                try:
                    async with (
                        store_for(address) as store,
                        open_courier(
                            store, job.directory, clock=clock, random=random, patience=patience
                        ) as courier,
                    ):
                        work = _Work(
                            store, courier, AnnouncedEvents(events, courier), finish, thread
                        )
                        for path, journal in kept:
                            if journal.store == address and journal.file.record_format != _SEGMENTS:
                                recovered.append(await work.single(path, journal))
                        for recording in segmented:
                            if recording.store == address:
                                recovered.append(await work.segmented(recording))
                except DestinationError as exc:
                    recovered.append(Recovered(address, error=str(exc)))
    finally:
        thread.shutdown(wait=False)
    _sweep(job.directory)
    return recovered


def stores_of(directory: Path) -> frozenset[str]:
    """Addresses of the stores that a job's files wait for; what cannot be read counts for nothing.

    May be asked while somebody works in the folder.
    """
    addresses: set[str] = set()
    for path in directory.glob("*"):
        with suppress(DestinationError):
            if path.name.endswith(journals.SUFFIX):
                addresses.add(journals.read(path).store)
            elif path.name.endswith(ledger.SUFFIX):
                addresses.add(ledger.read(path).store)
    return frozenset(addresses)


def known_uploads(directories: Iterable[Path]) -> frozenset[str]:
    """Ids of uploads that are noted in folders of jobs, living ones too."""
    found: set[str] = set()
    for directory in directories:
        for path in directory.glob(f"*{journals.SUFFIX}"):
            with suppress(DestinationError):
                found.add(journals.read(path).upload_id or "")
    return frozenset(found)


def _sweep(directory: Path) -> None:
    """Remove playlists of recordings that were announced, or never had a segment."""
    for playlist in directory.glob("*.m3u8"):
        rest = [*directory.glob(f"{playlist.stem}_*"), playlist.with_suffix(ledger.SUFFIX)]
        if not any(path.exists() for path in rest):
            playlist.unlink()


def _journals(directory: Path) -> tuple[list[tuple[Path, Journal]], list[Recovered]]:
    """Spool files with their journals, in order of recording; and what cannot be understood."""
    kept: list[tuple[Path, Journal]] = []
    strange: list[Recovered] = []
    for path in sorted(directory.glob(f"*{journals.SUFFIX}")):
        try:
            kept.append((journals.file_of(path), journals.read(path)))
        except DestinationError as exc:
            strange.append(Recovered(path.name, error=str(exc)))
    known = {path.name for path, _ in kept}
    for path in sorted([*directory.glob("*.mp4"), *directory.glob("*.ts")]):
        if path.name in known:
            continue
        if path.stat().st_size == 0:
            path.unlink()  # begun at the very end; its journal comes with its first bytes
        else:
            strange.append(Recovered(path.name, error="nobody has noted what it is"))
    return sorted(kept, key=lambda each: (each[1].file.start_s, each[0].name)), strange


class _Work:
    """Recovery of one job's files of one store."""

    def __init__(
        self,
        store: Store,
        courier: SpoolCourier,
        events: RecordEvents,
        finish: Finish,
        thread: ThreadPoolExecutor,
    ) -> None:
        self._store = store
        self._courier = courier
        self._events = events
        self._finish = finish
        self._thread = thread

    async def single(self, path: Path, journal: Journal) -> Recovered:
        """A file that stands for itself: an MP4."""
        try:
            if not _is_there(path):
                return await self._without_file(path, journal)
            try:
                duration_s = await self._finished(path)
            except MediaError as exc:
                await self._set_aside(path, journal)
                return Recovered(path.name, journal.file, error=str(exc))
            parcel = await self._courier.take_over(path, journal)
            if not parcel.is_delivered:
                await parcel.seal()
            return await self._announce(
                path.name, parcel.journal.file, parcel.journal.key, parcel.journal.size, duration_s
            )
        except DestinationError as exc:
            log.warning("file not recovered", extra={"file": path.name, "error": str(exc)})
            return Recovered(path.name, journal.file, error=str(exc))

    async def segmented(self, recording: SegmentedRecording) -> Recovered:
        """All segments of a recording, then its playlist."""
        file = recording.file
        local = self._courier.directory / f"{file.file_id}.m3u8"
        try:
            text = _text(local)
            names = hls_recovery.listed(text or "")
            cut: dict[str, float] = {}
            for path, journal in recording.left:
                seconds = await self._segment(path, journal)
                if seconds is not None and path.name not in names:
                    cut[path.name] = seconds
            stored = ledger.read(ledger.path_of(self._courier.directory, file)).segments
            if text is None:
                # Its worker had come as far as the last playlist.
                there = await self._store.get(file.key, max_bytes=_LONGEST_PLAYLIST_BYTES)
                text = there.decode()
                keys = {segment.key.rpartition("/")[2]: segment.key for segment in stored}
            else:
                keys = {segment.name: segment.key for segment in stored}
            playlist = hls_recovery.closed(text, keys, cut)
            data = playlist.text.encode()
            await self._courier.put(file.key, data, content_type=hls_recovery.CONTENT_TYPE)
            size = sum(segment.size for segment in stored) + len(data)
            # Before it is announced: the ledger goes with that, and then nobody would look here.
            local.unlink(missing_ok=True)
            done = await self._announce(local.name, file, file.key, size, playlist.duration_s)
        except DestinationError as exc:
            log.warning("recording not recovered", extra={"file": local.name, "error": str(exc)})
            return Recovered(local.name, file, error=str(exc))
        if playlist.missing:
            return replace(done, error=f"{playlist.missing} segments are missing")
        return done

    async def _segment(self, path: Path, journal: Journal) -> float | None:
        """Seconds of a segment that is stored now; None when there is nothing of it."""
        if not _is_there(path):
            # Stored and in the ledger; its worker died before the journal was gone.
            _forget(path)
            return None
        try:
            seconds = await self._finished(path)
        except MediaError:
            await self._set_aside(path, journal)
            return None
        parcel = await self._courier.take_over(path, journal)
        await parcel.seal()
        return seconds

    async def _without_file(self, path: Path, journal: Journal) -> Recovered:
        """The spool has lost it, or it was announced and its journal was to go next."""
        error = None
        if journal.stage is not journals.Stage.DELIVERED:
            error = "the file is gone"
            if journal.upload_id is not None:
                saved = await salvage_upload(self._store, journal.key, journal.upload_id)
                if saved is not None:
                    error = f"the file is gone; its first {saved.size} bytes are stored"
        _forget(path)
        return Recovered(path.name, replace(journal.file, key=journal.key), error=error)

    async def _set_aside(self, path: Path, journal: Journal) -> None:
        parcel = await self._courier.take_over(path, journal)
        await parcel.abandon()
        _rename(path, path.with_name(path.name + UNREADABLE))
        _forget(path)

    async def _finished(self, path: Path) -> float:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, path)

    async def _announce(
        self, name: str, file: RecordedFile, key: str, size: int, duration_s: float
    ) -> Recovered:
        file = replace(file, key=key)
        address = self._store.address
        await self._events.publish(
            FileCompleted(file=file, location=address, size=size, duration_s=duration_s)
        )
        return Recovered(name, file, address, size, duration_s)


# Recovery is a command of its own, or comes before a job: a small file may be waited for.


def _is_there(path: Path) -> bool:
    return path.exists()


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _rename(path: Path, to: Path) -> None:
    path.rename(to)


def _forget(path: Path) -> None:
    journals.path_of(path).unlink(missing_ok=True)
