"""Makes what runs agree with what is on record, whatever happened in between.

It looks at the whole of both, again and again, and never remembers what it did: a control plane
that was killed at any point continues where it was. Of several only the one with the lease acts.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from worker.core.lifecycle import State, StopReason
from worker.errors import LaunchError, LaunchRefused, NotFound, RecordsDown
from worker.jobs.lines import Lines
from worker.jobs.ports import Launch, Launcher, Records, WorkerState
from worker.jobs.values import JobRecord, Json

log = logging.getLogger(__name__)

LOOK_MS = 500
LEASE = "reconciler"
LEASE_MS = 3000
"""A control plane that died is replaced after so long."""
RENEW_MS = 1000
"""A lease that is older is renewed between two steps, too: a look may take long."""
STRANGERS_MS = 5000
"""How often workers that nobody knows of are looked for."""
RECOVER_MS = 5000
"""How often the spool of dead workers is looked through, at most."""
MAX_FAILURES = 3
"""Workers of one job that may die before the job is given up."""
MAX_WORKERS = 30
"""The same of workers that ended in order, told by somebody else than us: by their container's
end, say, or by `serve --drain`."""
STOP_BY_SIGNAL_MS = 3000
"""A worker that cannot be told, or does not act on it, is sent a signal after so long."""


def token_of(key: bytes, job_id: str, attempt: int) -> str:
    """The token that the worker of *attempt* shows: 64 hexadecimal digits."""
    return hmac.new(key, f"{job_id}:{attempt}".encode(), hashlib.sha256).hexdigest()


class Reconciler:
    """Runs for the life of a control plane."""

    def __init__(
        self,
        records: Records,
        launcher: Launcher,
        lines: Lines,
        *,
        holder: str,
        control_url: str,
        results: str,
        key: bytes,
        kill_after_ms: int,
        unix_ms: Callable[[], int],
        is_told: Callable[[JobRecord], Awaitable[bool]],
    ) -> None:
        """*holder* is this control plane's name, *control_url* where workers find it.

        *results* is the directory, where workers run, for what they have to say in the end.
        A stopped worker is killed after *kill_after_ms*. *is_told* says of a job whose last
        worker has gone whether everything about it has been told; until then it is not over.
        """
        self._records = records
        self._launcher = launcher
        self._lines = lines
        self._holder = holder
        self._control_url = control_url
        self._results = results
        self._key = key
        self._kill_after_ms = kill_after_ms
        self._unix_ms = unix_ms
        self._is_told = is_told
        self._changed = asyncio.Event()
        self._strangers_unix_ms = 0
        self._recovered_unix_ms = 0
        self._led_unix_ms = 0
        self.is_leader = False

    def wake(self) -> None:
        """Something has changed: look now."""
        self._changed.set()

    async def run(self) -> None:
        """Look until cancelled; then somebody else may at once."""
        try:
            while True:
                self._changed.clear()
                try:
                    if await self.leads():
                        await self.look()
                except RecordsDown as exc:
                    log.error("the database does not answer", extra={"why": str(exc)})
                try:
                    async with asyncio.timeout(LOOK_MS / 1000):
                        await self._changed.wait()
                except TimeoutError:
                    pass  # time to look again
        finally:
            if self.is_leader:
                with suppress(RecordsDown):  # then the lease runs out
                    await self._hold_until(self._unix_ms())

    async def look(self) -> None:
        """Bring every unfinished job one step further."""
        for job in await self._records.unfinished_jobs():
            if not await self._still_leads():
                return
            try:
                await self._step(job)
            except LaunchRefused as exc:
                await self._describe(job, str(exc))
            except LaunchError as exc:
                log.error("launcher failed", extra={"job": job.job_id, "why": str(exc)})
            except NotFound:
                pass  # removed meanwhile
        try:
            await self._look_for_strangers()
        except LaunchError as exc:
            log.error("launcher failed", extra={"why": str(exc)})

    async def leads(self) -> bool:
        """Take the lease, or keep it; whether it is ours."""
        now_ms = self._unix_ms()
        leads = await self._hold_until(now_ms + LEASE_MS)
        if leads is not self.is_leader:
            log.info("leads" if leads else "follows", extra={"holder": self._holder})
        self.is_leader = leads
        if leads:
            self._led_unix_ms = now_ms
        return leads

    async def _hold_until(self, unix_ms: int) -> bool:
        return await self._records.take_lease(
            LEASE, self._holder, now_unix_ms=self._unix_ms(), until_unix_ms=unix_ms
        )

    async def _still_leads(self) -> bool:
        """Also after a process that stood still for a while goes on."""
        return self._unix_ms() - self._led_unix_ms < RENEW_MS or await self.leads()

    async def _step(self, job: JobRecord) -> None:
        if job.attempt == 0:
            if job.is_live:
                await self._start_first(job)
            else:
                await self._finish(job)
            return
        worker = await self._launcher.look(job.job_id, job.attempt)
        if worker is None and job.is_live:
            # On record before it was started: nobody knows whether the start was tried.
            now = await self._records.any_job(job.job_id)
            if now is not None and now.is_live and now.attempt == job.attempt:
                await self._launch(now)
        elif worker is not None and worker.is_running:
            if not job.is_live:
                await self._end(job)
        elif job.is_live:
            await self._replace(job, worker)
        else:
            await self._finish(job)

    async def _start_first(self, job: JobRecord) -> None:
        """Put the first worker on record, then start it."""

        def numbered(now: JobRecord) -> JobRecord:
            return replace(now, attempt=1) if now.is_live and now.attempt == 0 else now

        now = await self._records.change_job(job.job_id, numbered)
        if now.is_live and now.attempt == 1:
            await self._launch(now)

    async def _launch(self, job: JobRecord) -> None:
        control = {
            "url": self._control_url,
            "token": token_of(self._key, job.job_id, job.attempt),
            "attempt": job.attempt,
        }
        output = {"directory": self._results, "name": f"{job.job_id}.{job.attempt}"}
        document: Json = {**job.document, "control": control, "output": output}
        log.info("worker started", extra={"job": job.job_id, "attempt": job.attempt})
        await self._launcher.launch(
            Launch(
                job.job_id,
                job.attempt,
                json.dumps(document, ensure_ascii=False).encode(),
                job.cores,
                job.memory_mb,
            )
        )

    async def _replace(self, job: JobRecord, worker: WorkerState | None) -> None:
        """The job's worker has gone although the job goes on."""
        code = None if worker is None else worker.exit_code
        log.error(
            "worker died", extra={"job": job.job_id, "attempt": job.attempt, "exit code": code}
        )
        why = "was killed or lost" if code is None else f"ended with exit code {code}"

        def failed(now: JobRecord) -> JobRecord:
            if now.attempt != job.attempt or not now.is_live:
                return now
            now = replace(now, failures=now.failures + (code != 0))
            text = f"worker {now.attempt} {why}"
            if now.failures <= MAX_FAILURES and now.attempt < MAX_WORKERS:
                # Together with the number of the next one: no death is counted twice.
                return replace(now, attempt=job.attempt + 1, description=text)
            return replace(
                now,
                state=State.STOPPED,
                reason=StopReason.INTERNAL_ERROR,
                stopped_unix_ms=self._unix_ms(),
                description="; ".join(filter(None, (text, now.description))),
            )

        now = await self._records.change_job(job.job_id, failed)
        await self._recover()
        if now.is_live and now.attempt == job.attempt + 1:
            await self._launch(now)

    async def _end(self, job: JobRecord) -> None:
        """The job is stopped, its worker is not: it is told by its line, by signals, killed."""
        since_ms = self._unix_ms() - (job.stopped_unix_ms or 0)
        if since_ms >= self._kill_after_ms:
            log.error("worker killed", extra={"job": job.job_id, "attempt": job.attempt})
            await self._launcher.kill(job.job_id, job.attempt)
        elif since_ms >= STOP_BY_SIGNAL_MS and not self._lines.is_connected(
            job.job_id, job.attempt
        ):
            await self._launcher.stop(job.job_id, job.attempt)

    async def _finish(self, job: JobRecord) -> None:
        if not await self._is_told(job):
            await self._recover()
            return
        for attempt in range(1, job.attempt + 1):
            await self._launcher.forget(job.job_id, attempt)
        await self._records.change_job(job.job_id, lambda now: replace(now, is_over=True))

    async def _recover(self) -> None:
        """Files and events that a worker has left behind."""
        now_ms = self._unix_ms()
        if now_ms - self._recovered_unix_ms >= RECOVER_MS:
            self._recovered_unix_ms = now_ms
            await self._launcher.recover()

    async def _look_for_strangers(self) -> None:
        """Workers that are on no record, or were replaced, are stopped."""
        now_ms = self._unix_ms()
        if now_ms - self._strangers_unix_ms < STRANGERS_MS:
            return
        self._strangers_unix_ms = now_ms
        for job_id, attempt in await self._launcher.running():
            job = await self._records.any_job(job_id)
            if job is None or job.is_over or job.attempt > attempt:
                log.warning("unknown worker", extra={"job": job_id, "attempt": attempt})
                await self._launcher.stop(job_id, attempt)

    async def _describe(self, job: JobRecord, text: str) -> None:
        if job.description != text:
            await self._records.change_job(job.job_id, lambda now: replace(now, description=text))
