"""Finishing what crashed workers left: files, uploads and events in the spool, parts in a store."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import cast

from worker.api.wire.callback import CallbackFacts
from worker.app import notes
from worker.app.outputs import LAST_WORDS_S, outbox_in
from worker.app.stores import calls, open_store
from worker.core.timing import NS_PER_S
from worker.engine.clock import LoopClock
from worker.errors import DestinationError, InvalidField
from worker.media.leftover import finish_leftover
from worker.notify.nobody import Nobody
from worker.notify.target import kept_target
from worker.ports import RecordEvents, RecordingOver
from worker.settings import Settings
from worker.storage.recovery import Recovered, known_uploads, recover_job, stores_of
from worker.storage.retry import Patience
from worker.storage.salvage import DatedStore, Salvaged, salvage
from worker.storage.spool import JobSpool, Spool

STORES_AT_ONCE = 4
"""Whose files are recovered side by side, with 20 MiB of memory each; the others wait."""


async def recover_spool(settings: Settings, *, patience_s: float = math.inf) -> list[Recovered]:
    """Deliver and announce everything in the spool that no living worker owns.

    Stores side by side, the jobs of each one after the other. A store that has not answered as it
    should for *patience_s* is given up, and what was for it stays where it is. May be cancelled
    and called again; nothing is lost.
    """
    spool = Spool(Path(settings.spool.directory))
    recovered: dict[Path, list[Recovered]] = {}
    free = asyncio.Semaphore(STORES_AT_ONCE)

    async def recover(folders: Iterable[Path]) -> None:
        patience = Patience(patience_s)
        async with free:
            for folder in folders:
                job = spool.orphan(folder)
                if job is not None:
                    with job:
                        recovered[folder] = await _recover(job, settings, patience)
                        notes.tidy(job)

    async with asyncio.TaskGroup() as group:
        for folders in _by_store(spool.folders()):
            group.create_task(recover(folders), name="recover:store")
    return [each for folder in sorted(recovered) for each in recovered[folder]]


async def salvage_store(
    settings: Settings, store: str, *, location: str, quiet_since_unix_s: float
) -> list[Salvaged]:
    """Complete what exists only as parts in *store*, `s3://bucket[/prefix]` or `file:///directory`.

    Uploads that a folder of the spool knows are left to whoever has or recovers that. Raises
    `InvalidField` for an address that is none, `DestinationError`.
    """
    address, prefix = _place(store)
    known = known_uploads(Spool(Path(settings.spool.directory)).folders())
    async with open_store(address, settings.storage, location=location) as opened:
        dated = cast("DatedStore", opened)  # both kinds of store are
        return await salvage(dated, prefix, quiet_since_unix_s=quiet_since_unix_s, known=known)


def _place(text: str) -> tuple[str, str]:
    """A store's address, and what keys begin with. Raises `InvalidField`."""
    if match := re.fullmatch(r"(s3://[^/]+)(?:/(.*))?", text):
        return match[1], match[2] or ""
    if text.startswith("file:///"):
        return text, ""
    raise InvalidField("--store", "must be s3://bucket[/prefix] or file:///directory")


def _by_store(folders: Iterable[Path]) -> list[list[Path]]:
    """Folders that wait for the same stores, together."""
    groups: dict[frozenset[str], list[Path]] = {}
    for folder in folders:
        groups.setdefault(stores_of(folder), []).append(folder)
    return list(groups.values())


async def _recover(job: JobSpool, settings: Settings, patience: Patience) -> list[Recovered]:
    clock = LoopClock(asyncio.get_running_loop())
    location = notes.location(job)

    @asynccontextmanager
    async def events_of(job: JobSpool) -> AsyncIterator[RecordEvents]:
        target = kept_target(notes.callbacks(job))
        if target is None:
            yield Nobody()
            return
        facts = CallbackFacts(**target.facts)
        async with outbox_in(job, target.spec, facts, calls(settings), clock) as outbox:
            yield outbox
            if not notes.has_files(job):
                await outbox.publish(RecordingOver(job.directory.name, notes.reason(job)))
            await outbox.settle(clock.now_ns() + round(LAST_WORDS_S * NS_PER_S))

    try:
        return await recover_job(
            job,
            lambda address: open_store(address, settings.storage, location=location),
            events_of,
            finish_leftover,
            clock=clock,
            random=Random(),
            patience=patience,
        )
    except DestinationError as exc:
        return [Recovered(job.directory.name, error=str(exc))]
