"""Takes orders for jobs: puts them on record, from where the reconciler carries them out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from worker.core.lifecycle import State, StopReason
from worker.errors import JobDone, JobNotRunning
from worker.jobs.ports import Records
from worker.jobs.values import JobKind, JobRecord


@dataclass(frozen=True, slots=True)
class Room:
    """How much may run at once. Cores and memory are those of the machine; infinite: who cares."""

    jobs_per_account: int = 100
    cores: float = inf
    memory_mb: float = inf


class Desk:
    """`ports.Orders`."""

    def __init__(
        self,
        records: Records,
        *,
        room: Room,
        needs: Callable[[JobRecord], tuple[float, int]],
        unix_ms: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        """*needs* tells cores and memory, MB, of a job. *on_change*: a record has changed."""
        self._records = records
        self._room = room
        self._needs = needs
        self._unix_ms = unix_ms
        self._on_change = on_change
        self._admitting = asyncio.Lock()

    async def create(self, job: JobRecord, *, rule_id: str | None) -> JobRecord:
        """Put *job* on record, from where it is started.

        Raises as `Records.add_job`; `QuotaExceeded` also when the machine is full.
        """
        cores, memory_mb = self._needs(job)
        job = replace(job, cores=cores, memory_mb=memory_mb)
        async with self._admitting:
            running = await self._records.unfinished_jobs()
            cores += sum(each.cores for each in running)
            memory_mb += sum(each.memory_mb for each in running)
            # A machine that is too small for any job shall run one.
            fits = not running or (cores <= self._room.cores and memory_mb <= self._room.memory_mb)
            # Refused by the records either way: a caller whose answer was lost and who asks again
            # must learn that the job runs, also when it is this job that fills the machine.
            quota = self._room.jobs_per_account if fits else 0
            await self._records.add_job(job, rule_id=rule_id, quota=quota)
        self._on_change()
        return job

    async def update(
        self,
        account_id: str,
        app_id: str,
        kind: JobKind,
        job_id: str,
        change: Callable[[JobRecord], JobRecord],
    ) -> JobRecord:
        """Change what was asked; a running worker follows.

        Raises `NotFound`, `JobDone` and `JobNotRunning`.
        """
        await self._records.job(account_id, app_id, kind, job_id)

        def changed(job: JobRecord) -> JobRecord:
            if not job.is_live:
                raise JobDone("the job has ended")
            if job.state is State.INIT:
                raise JobNotRunning("the job's worker is not up yet")
            now_unix_ms = max(self._unix_ms(), job.updated_unix_ms + 1)
            now = replace(change(job), updated_unix_ms=now_unix_ms)
            if now.document.get("record") != job.document.get("record"):
                # Files go by one rule from their begin on: the next worker's go by the new one.
                return replace(now, attempt=job.attempt + 1)
            return now

        job = await self._records.change_job(job_id, changed)
        self._on_change()
        return job

    async def stop(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> None:
        """Stop; nothing more happens to one that is stopped. Raises `NotFound`."""
        await self._records.job(account_id, app_id, kind, job_id)

        def stopped(job: JobRecord) -> JobRecord:
            if not job.is_live:
                return job
            return replace(
                job,
                state=State.STOPPED,
                reason=StopReason.TENANT_STOP,
                stopped_unix_ms=self._unix_ms(),
            )

        await self._records.change_job(job_id, stopped)
        self._on_change()
