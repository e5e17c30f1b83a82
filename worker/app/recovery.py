"""Finishing what crashed workers left in the spool: files, uploads, events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from worker.api.wire.callback import CallbackFacts
from worker.app import notes
from worker.app.outputs import LAST_WORDS_S, outbox_in
from worker.app.stores import calls, open_store
from worker.core.timing import NS_PER_S
from worker.engine.clock import LoopClock
from worker.errors import DestinationError
from worker.media.leftover import finish_leftover
from worker.notify.nobody import Nobody
from worker.notify.target import kept_target
from worker.ports import RecordEvents, RecordingOver
from worker.settings import Settings
from worker.storage.recovery import Recovered, recover_job
from worker.storage.spool import JobSpool, Spool


async def recover_spool(settings: Settings) -> list[Recovered]:
    """Deliver and announce everything in the spool that no living worker owns.

    A store that does not answer is asked for ever; cancel it to give up. Nothing is lost then.
    """
    recovered: list[Recovered] = []
    for job in Spool(Path(settings.spool.directory)).orphans():
        with job:
            try:
                recovered += await _recover(job, settings)
            except DestinationError as exc:
                recovered.append(Recovered(job.directory.name, error=str(exc)))
            notes.tidy(job)
    return recovered


async def _recover(job: JobSpool, settings: Settings) -> list[Recovered]:
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

    return await recover_job(
        job,
        lambda address: open_store(address, settings.storage, location=location),
        events_of,
        finish_leftover,
        clock=clock,
        random=Random(),
    )
