"""Jobs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import delete, exists, func, select, update

from worker.core.lifecycle import State
from worker.errors import AppStopped, JobRunning, NotFound, QuotaExceeded
from worker.jobs.records.job_rows import job_of, job_row
from worker.jobs.records.schema import apps, jobs, messages, rules
from worker.jobs.records.tenancy import locked_account, owned_app
from worker.jobs.records.theme import Theme
from worker.jobs.values import AppState, JobKind, JobRecord

_IDS_PER_QUERY = 500
"""SQLite takes a limited number of parameters, in old builds 999."""
_FORGOTTEN_AT_ONCE = 200
"""Jobs, with their messages: a few milliseconds, in which nobody else can write."""


class Jobs(Theme):
    """As in `ports.Records`."""

    async def add_job(self, job: JobRecord, *, rule_id: str | None, quota: int) -> None:
        async with self._database.write() as transaction:
            await locked_account(transaction, job.account_id)
            app = await owned_app(transaction, job.account_id, job.app_id)
            if rule_id is not None:
                known = select(
                    exists().where(rules.c.rule_id == rule_id, rules.c.app_id == job.app_id)
                )
                if not (await transaction.execute(known)).scalar_one():
                    raise NotFound("no such rule")
            if app.state != AppState.ACTIVE.value:
                raise AppStopped("the application is switched off")
            live = jobs.c.state != State.STOPPED.value
            same = select(
                exists().where(live, jobs.c.app_id == job.app_id, jobs.c.unique_id == job.unique_id)
            )
            if (await transaction.execute(same)).scalar_one():
                raise JobRunning("an unfinished job has that key")
            count = (
                select(func.count())
                .select_from(jobs)
                .where(live, jobs.c.account_id == job.account_id)
            )
            if (await transaction.execute(count)).scalar_one() >= quota:
                raise QuotaExceeded("there are as many live jobs as may be")
            await transaction.execute(
                jobs.insert().values(job_row(self._seal, job) | {"rule_id": rule_id})
            )

    async def job(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> JobRecord:
        async with self._database.read() as transaction:
            found = await transaction.execute(
                select(jobs).where(
                    jobs.c.job_id == job_id,
                    jobs.c.account_id == account_id,
                    jobs.c.app_id == app_id,
                    jobs.c.kind == kind.value,
                    exists().where(apps.c.app_id == app_id),
                )
            )
            row = found.first()
        if row is None:
            raise NotFound("no such job")
        return job_of(self._seal, row)

    async def any_job(self, job_id: str) -> JobRecord | None:
        async with self._database.read() as transaction:
            row = (await transaction.execute(select(jobs).where(jobs.c.job_id == job_id))).first()
        return None if row is None else job_of(self._seal, row)

    async def unfinished_jobs(self) -> Sequence[JobRecord]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(jobs).where(~jobs.c.is_over).order_by(jobs.c.created_unix_ms, jobs.c.job_id)
            )
            return tuple(job_of(self._seal, row) for row in rows)

    async def jobs(self, account_id: str, *, size: int) -> Sequence[JobRecord]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(jobs)
                .where(jobs.c.account_id == account_id)
                .order_by(jobs.c.created_unix_ms.desc(), jobs.c.job_id.desc())
                .limit(size)
            )
            return tuple(job_of(self._seal, row) for row in rows)

    async def change_job(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        async with self._database.write() as transaction:
            found = await transaction.execute(
                select(jobs).where(jobs.c.job_id == job_id).with_for_update(key_share=True)
            )
            row = found.first()
            if row is None:
                raise NotFound("no such job")
            changed = change(job_of(self._seal, row))
            changed = replace(changed, revision=row.revision + 1)
            await transaction.execute(
                update(jobs).where(jobs.c.job_id == job_id).values(job_row(self._seal, changed))
            )
            return changed

    async def revisions(self, job_ids: Collection[str]) -> Mapping[str, int]:
        ids = list(job_ids)
        found: dict[str, int] = {}
        async with self._database.read() as transaction:
            for start in range(0, len(ids), _IDS_PER_QUERY):
                rows = await transaction.execute(
                    select(jobs.c.job_id, jobs.c.revision).where(
                        jobs.c.job_id.in_(ids[start : start + _IDS_PER_QUERY])
                    )
                )
                found.update((row.job_id, row.revision) for row in rows)
        return found

    async def forget_jobs(self, before_unix_ms: int) -> int:
        """A job that was never stopped on record counts from its last change."""
        over_since = func.coalesce(jobs.c.stopped_unix_ms, jobs.c.updated_unix_ms)
        unsent = exists().where(messages.c.job_id == jobs.c.job_id, messages.c.fate == "waiting")
        async with self._database.write() as transaction:
            # Skipped: what somebody else changes or forgets at this moment.
            ids = (
                select(jobs.c.job_id)
                .where(jobs.c.is_over, over_since < before_unix_ms, ~unsent)
                .limit(_FORGOTTEN_AT_ONCE)
                .with_for_update(skip_locked=True)
            )
            removed = await transaction.execute(delete(jobs).where(jobs.c.job_id.in_(ids)))
            return removed.rowcount
