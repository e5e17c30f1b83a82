"""Orders for jobs that are put on record, and that nobody carries out."""

from collections.abc import Callable
from dataclasses import replace

from worker.core.lifecycle import State, StopReason
from worker.errors import JobDone, JobNotRunning
from worker.jobs.ports import Records
from worker.jobs.values import JobKind, JobRecord


class StoredOrders:
    """`ports.Orders` without a reconciler."""

    def __init__(self, records: Records, *, quota: int, unix_ms: Callable[[], int]) -> None:
        self._records = records
        self._quota = quota
        self._unix_ms = unix_ms

    async def create(self, job: JobRecord, *, rule_id: str | None) -> JobRecord:
        await self._records.add_job(job, rule_id=rule_id, quota=self._quota)
        return job

    async def update(
        self,
        account_id: str,
        app_id: str,
        kind: JobKind,
        job_id: str,
        change: Callable[[JobRecord], JobRecord],
    ) -> JobRecord:
        await self._records.job(account_id, app_id, kind, job_id)

        def changed(job: JobRecord) -> JobRecord:
            if not job.is_live:
                raise JobDone("the job has ended")
            if job.state is State.INIT:
                raise JobNotRunning("the job's worker is not up yet")
            return replace(change(job), updated_unix_ms=self._unix_ms())

        return await self._records.change_job(job_id, changed)

    async def stop(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> None:
        await self._records.job(account_id, app_id, kind, job_id)
        end = {"state": State.STOPPED, "reason": StopReason.TENANT_STOP}

        def stopped(job: JobRecord) -> JobRecord:
            return replace(job, **end, stopped_unix_ms=self._unix_ms()) if job.is_live else job

        await self._records.change_job(job_id, stopped)
