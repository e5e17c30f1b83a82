"""Callbacks about a recording as the API writes them.

Source: API reference section 8; names of events by section 15, decisions 8, 12 and 13.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from worker.ports import FileCompleted, FileStarted, RecordEvent, RecordingOver

FILE_STARTED = "RECORD_NEW_FILE_START"
FILE_COMPLETED = "RECORD_FILE_COMPLETE"
RECORDING_OVER = "CLOUD_RECORD_SERVER_OVER"


@dataclass(frozen=True, slots=True)
class CallbackFacts:
    """What the bodies of one job's callbacks say beside the event."""

    app_id: str
    room_id: str
    stream_name: str
    obs_location: str = ""
    """Region of the record rule."""
    download_root: str = ""
    """What comes before an object's key in its address, such as `https://s3.example/bucket`.

    Empty: the store's own address.
    """
    over_event: str = RECORDING_OVER
    """The vendor's documents have two names for it."""


def callback_body(event: RecordEvent, facts: CallbackFacts) -> bytes:
    """The exact bytes to sign and to send: one JSON object, UTF-8."""
    match event:
        case FileStarted(file):
            fields = _head(FILE_STARTED, file.job_id, facts)
            fields["record_format"] = file.record_format
        case FileCompleted(file=file):
            fields = _head(FILE_COMPLETED, file.job_id, facts) | _completed(event, facts)
        case RecordingOver(job_id=job_id, reason=reason):
            fields = _head(facts.over_event, job_id, facts)
            fields["detail_message"] = reason
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _head(event_type: str, job_id: str, facts: CallbackFacts) -> dict[str, str | int]:
    return {
        "event_type": event_type,
        "job_id": job_id,
        "stream_name": facts.stream_name,
        "app_id": facts.app_id,
        "room_id": facts.room_id,
    }


def _completed(event: FileCompleted, facts: CallbackFacts) -> dict[str, str | int]:
    file = event.file
    scheme, _, place = event.location.partition("://")
    root = facts.download_root or event.location
    return {
        "record_format": file.record_format,
        "download_url": f"{root.rstrip('/')}/{quote(file.key)}",
        "file_size": event.size,
        "record_duration": round(event.duration_s),
        "width": file.width,
        "height": file.height,
        "start_time": _time(file.start_unix_s),
        "end_time": _time(file.start_unix_s + event.duration_s),
        "obs_location": facts.obs_location,
        # A directory is no bucket; `download_url` says where the file is.
        "obs_bucket": place if scheme == "s3" else "",
        "obs_object": file.key,
    }


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
