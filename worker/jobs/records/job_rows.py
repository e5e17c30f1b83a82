"""Jobs as rows and back."""

import json
from typing import Any

from sqlalchemy import Row

from worker.core.lifecycle import State, StopReason
from worker.jobs.records.schema import jobs
from worker.jobs.records.seal import Seal
from worker.jobs.values import JobKind, JobRecord, Json


def job_row(seal: Seal, job: JobRecord) -> dict[str, Any]:
    """Every column but `rule_id`."""
    return {
        "job_id": job.job_id,
        "account_id": job.account_id,
        "app_id": job.app_id,
        "kind": job.kind.value,
        "unique_id": job.unique_id,
        "room_id": job.room_id,
        "stream_name": job.stream_name,
        "asked": seal.encrypt(_bytes(job.asked), jobs.c.asked, job.job_id),
        "document": seal.encrypt(_bytes(job.document), jobs.c.document, job.job_id),
        "created_unix_ms": job.created_unix_ms,
        "updated_unix_ms": job.updated_unix_ms,
        "state": job.state.value,
        "reason": job.reason.value if job.reason else None,
        "description": job.description,
        "started_unix_ms": job.started_unix_ms,
        "stopped_unix_ms": job.stopped_unix_ms,
        "cores": job.cores,
        "memory_mb": job.memory_mb,
        "attempt": job.attempt,
        "failures": job.failures,
        "told_attempts": ",".join(map(str, sorted(job.told_attempts))),
        "is_over": job.is_over,
        "revision": job.revision,
    }


def job_of(seal: Seal, row: Row[Any]) -> JobRecord:
    """Raises `RecordsDown` when its secrets do not open."""
    decrypt = seal.decrypt
    return JobRecord(
        job_id=row.job_id,
        account_id=row.account_id,
        app_id=row.app_id,
        kind=JobKind(row.kind),
        unique_id=row.unique_id,
        room_id=row.room_id,
        stream_name=row.stream_name,
        asked=json.loads(decrypt(row.asked, jobs.c.asked, row.job_id)),
        document=json.loads(decrypt(row.document, jobs.c.document, row.job_id)),
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
        state=State(row.state),
        reason=StopReason(row.reason) if row.reason else None,
        description=row.description,
        started_unix_ms=row.started_unix_ms,
        stopped_unix_ms=row.stopped_unix_ms,
        cores=row.cores,
        memory_mb=row.memory_mb,
        attempt=row.attempt,
        failures=row.failures,
        told_attempts=frozenset(
            map(int, row.told_attempts.split(",") if row.told_attempts else ())
        ),
        is_over=row.is_over,
        revision=row.revision,
    )


def _bytes(value: Json) -> bytes:
    return json.dumps(value).encode()
