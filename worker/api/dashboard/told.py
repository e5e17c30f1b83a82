"""Jobs as the dashboard's pages get them: what is on record, and what the worker says.

Instants are `_unix_ms`. Of a job's document nothing is told, as it holds secrets.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from worker.jobs.values import JobRecord, Json, Message

_OF_REPORT = (
    "recorded_s",
    "frames",
    "late_frames",
    "participants",
    "outputs",
    "canvas",
    "tiles",
    "speaking",
    "warnings",
)
_OF_EVENT = (
    "event_type",
    "record_format",
    "obs_object",
    "file_size",
    "record_duration",
    "start_time",
    "end_time",
    "detail_message",
)


def job_told(job: JobRecord, report: Json | None) -> Mapping[str, object]:
    """*job* and, while its worker is connected, its newest *report*; see `jobs.ports.Watch`."""
    return {
        "job_id": job.job_id,
        "app_id": job.app_id,
        "kind": job.kind.value,
        "room_id": job.room_id,
        "unique_id": job.unique_id,
        "stream_name": job.stream_name,
        "mix_param": job.asked.get("mix_param"),
        "user_id": job.asked.get("user_id"),
        "state": job.state.value,
        "is_over": job.is_over,
        "reason": None if job.reason is None else job.reason.value,
        "description": job.description,
        "created_unix_ms": job.created_unix_ms,
        "started_unix_ms": job.started_unix_ms,
        "updated_unix_ms": job.updated_unix_ms,
        "stopped_unix_ms": job.stopped_unix_ms,
        "failures": job.failures,
        "report": None if report is None else {key: report.get(key) for key in _OF_REPORT},
    }


def events_told(messages: Iterable[tuple[Message, bool | None]]) -> list[Mapping[str, object]]:
    """Callbacks with whether they were sent (None: not yet, False: given up)."""
    return [
        {
            "event_id": message.event_id,
            "at_unix_ms": message.created_unix_ms,
            "attempts": message.attempts,
            "was_sent": was_sent,
            **_body(message.body),
        }
        for message, was_sent in messages
    ]


def _body(text: bytes) -> Mapping[str, Any]:
    # Written by `callback_body`, in a worker of whatever version.
    body = json.loads(text)
    return {key: body[key] for key in _OF_EVENT if key in body}
