"""The last word about a job: that its recording is over."""

from collections.abc import Callable

from worker.jobs.ports import Records
from worker.jobs.values import JobRecord, Message
from worker.notify.outbox import identity_of
from worker.ports import RecordingOver

PATIENCE_MS = 60_000
"""So long a job's last worker may be gone before we speak in its place.

Its events wait on a disk until somebody recovers them, and it may have died before it had any.
"""


class Closing:
    """Sees to it that each job's end is told, once, and behind everything else.

    Each worker says when nothing of its own is left to tell, or whoever recovers what it left does.
    """

    def __init__(
        self,
        records: Records,
        *,
        body: Callable[[JobRecord, RecordingOver], bytes],
        unix_ms: Callable[[], int],
    ) -> None:
        self._records = records
        self._body = body
        self._unix_ms = unix_ms
        # Jobs that are closing now: no more than run.
        self._since_ms: dict[str, int] = {}

    async def is_told(self, job: JobRecord) -> bool:
        """Whether the end of *job*, whose last worker has gone, is in the line of its messages."""
        over = RecordingOver(job.job_id, "" if job.reason is None else job.reason.value)
        _, event_id = identity_of(over)
        now_ms = self._unix_ms()
        if not await self._records.has_message(event_id):
            waited_ms = now_ms - self._since_ms.setdefault(job.job_id, now_ms)
            if len(job.told_attempts) < job.attempt and waited_ms < PATIENCE_MS:
                return False
            await self._records.add_message(
                Message(
                    number=0,
                    event_id=event_id,
                    job_id=job.job_id,
                    account_id=job.account_id,
                    app_id=job.app_id,
                    body=self._body(job, over),
                    created_unix_ms=now_ms,
                )
            )
        self._since_ms.pop(job.job_id, None)
        return True
