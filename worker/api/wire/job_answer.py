"""Jobs as the API tells of them.

Source: API reference sections 3.5, 3.6, 4 and 5, and section 15, decisions 14, 15, 26 and 27.
"""

from collections.abc import Mapping
from typing import Any, Literal

from worker.api.wire.job_request import RecordParam, StreamType
from worker.api.wire.mix_param import MixParam
from worker.api.wire.times import instant
from worker.api.wire.told import Told
from worker.core.lifecycle import State, StopReason
from worker.jobs.values import JobRecord

StopReasonName = Literal["TENANT_STOP", "EXCEED_MAX_IDLE_TIME", "INTERNAL_ERROR"]

_STATES = {State.INIT: "INIT", State.RUNNING: "RUNNING", State.STOPPED: "STOPPED"}

_STOP_REASONS: Mapping[StopReason, tuple[StopReasonName, str]] = {
    StopReason.TENANT_STOP: ("TENANT_STOP", ""),
    StopReason.MAX_IDLE: ("EXCEED_MAX_IDLE_TIME", "nobody who may publish was in the room"),
    # What neither the caller nor an empty room has ended is our doing, whatever it was.
    StopReason.MAX_DURATION: ("INTERNAL_ERROR", "the longest time a job may run is over"),
    StopReason.SIGNAL: ("INTERNAL_ERROR", "the operator of the service has stopped the job"),
    StopReason.ROOM_LOST: ("INTERNAL_ERROR", "the room cannot be reached any more"),
    StopReason.ROOM_REFUSED: ("INTERNAL_ERROR", "the room refuses the recorder"),
    StopReason.INTERNAL_ERROR: ("INTERNAL_ERROR", "the recorder failed"),
}


class _JobTold(Told):
    """What is told of every job."""

    job_id: str
    job_unique_id: str
    """The caller's key, or one that was made up."""
    stream_name: str
    app_id: str
    room_id: str
    record_param: RecordParam | None = None
    push_param: Mapping[str, list[str] | None]
    """rtmp_urls: where it is pushed live, or null."""
    create_time: str
    update_time: str
    """Of the last change that was asked for."""
    state: Literal["INIT", "RUNNING", "STOPPED"]
    stop_reason: StopReasonName | None = None
    """Only of STOPPED jobs."""
    description: str | None = None
    """For people."""
    start_time: str
    stop_time: str
    """0001-01-01T00:00:00Z until it has stopped."""


class MixJobTold(_JobTold):
    """A job that records everybody of a room."""

    mix_param: MixParam


class IndividualJobTold(_JobTold):
    """A job that records one user."""

    user_id: str
    is_record_audio: bool
    video_type: Literal["CAMERASTREAM", "SCREENSTREAM", ""]
    """Empty: no video."""
    select_stream_type: StreamType
    max_idle_time: int


def mix_job_told(job: JobRecord) -> MixJobTold:
    """*job*, a mix, as it is now."""
    return MixJobTold.model_validate(_fields(job))


def individual_job_told(job: JobRecord) -> IndividualJobTold:
    """*job*, of one user, as it is now."""
    return IndividualJobTold.model_validate(_fields(job))


def _fields(job: JobRecord) -> dict[str, Any]:
    stop_reason, why = (None, "") if job.reason is None else _STOP_REASONS[job.reason]
    return {
        "job_id": job.job_id,
        "job_unique_id": job.unique_id,
        "stream_name": job.stream_name,
        "app_id": job.app_id,
        "room_id": job.room_id,
        "push_param": {"rtmp_urls": job.document.get("publish_param", {}).get("rtmp_urls")},
        "create_time": _second(job.created_unix_ms),
        "update_time": _second(job.updated_unix_ms),
        "state": _STATES[job.state],
        "stop_reason": stop_reason,
        "description": "; ".join(filter(None, (why, job.description))) or None,
        "start_time": _second(job.started_unix_ms),
        "stop_time": _second(job.stopped_unix_ms),
        **job.asked,
    }


def _second(unix_ms: int | None) -> str:
    """Without a fraction, as in all examples of jobs."""
    return instant(None if unix_ms is None else unix_ms // 1000 * 1000)
