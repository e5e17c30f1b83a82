"""From a valid request to a job on record.

Source: API reference sections 3.5, 3.6 and 5 (names of streams).
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from worker.api.wire.individual import individual_asked, individual_audio, individual_mix
from worker.api.wire.job_document import parse_job_document
from worker.api.wire.job_mix import changed, effective
from worker.api.wire.job_request import IndividualJobRequest, JobRequest, MixJobRequest
from worker.api.wire.mix_param import MixChange
from worker.api.wire.record import rtmp_urls
from worker.api.wire.refusal import refuse
from worker.errors import Fault, InvalidField
from worker.jobs.values import JobKind, JobRecord, Json, Rule

_ANYWHERE = {"directory": "out"}


@dataclass(frozen=True, slots=True)
class Opening:
    """What a new job has beside what was asked."""

    account_id: str
    app_id: str
    job_id: str
    unique_id: str
    """For who brought no key."""
    room: Json
    """The job document's part about the room."""
    rule: Rule | None
    created_unix_ms: int


def mix_job(request: MixJobRequest, opening: Opening) -> JobRecord:
    """Raises `InvalidField`."""
    mix = effective(request.mix_param)
    room_id = request.mix_param.room_id
    return _job(
        JobKind.MIX,
        request,
        opening,
        room_id=room_id,
        stream_name=f"m_{opening.job_id}_{room_id}",
        asked={"mix_param": mix},
        document={"mix_param": mix},
    )


def individual_job(request: IndividualJobRequest, opening: Opening) -> JobRecord:
    """Raises `InvalidField`."""
    return _job(
        JobKind.INDIVIDUAL,
        request,
        opening,
        room_id=request.room_id,
        stream_name=f"s_{opening.job_id}_{request.room_id}_{request.user_id}",
        asked=individual_asked(request),
        document={"mix_param": individual_mix(request), "audio": individual_audio(request)},
    )


def automatic_job(user_id: str, room_id: str, opening: Opening, *, is_screen: bool) -> JobRecord:
    """The job of a stream that is recorded by itself: somebody's screen, or all else of theirs.

    Raises `InvalidField` for names that the API does not have.
    """
    try:
        request = IndividualJobRequest.model_validate(
            {
                "room_id": room_id,
                "user_id": user_id,
                "video_type": "SCREENSTREAM" if is_screen else "CAMERASTREAM",
                "is_record_audio": not is_screen,
            }
        )
    except ValidationError as exc:
        raise refuse(exc, tagged=()) from None
    job = individual_job(request, opening)
    kind = "v_a" if is_screen else "av_m"
    stream_name = f"{opening.app_id}_{room_id}_{user_id}_{kind}"
    return replace(
        job, stream_name=stream_name, document={**job.document, "stream_name": stream_name}
    )


def is_automatic(job: JobRecord) -> bool:
    """Whether `automatic_job` made it: names of other streams begin otherwise."""
    return job.stream_name.startswith(f"{job.app_id}_")


def with_mix(job: JobRecord, change: MixChange) -> JobRecord:
    """*job*, a mix, with the layout changed. Raises `InvalidField`."""
    mix = changed(job.document["mix_param"], change)
    return _checked(
        replace(
            job,
            asked={**job.asked, "mix_param": mix},
            document={**job.document, "mix_param": mix},
        )
    )


def with_rule(job: JobRecord, rule: Rule) -> JobRecord:
    """*job* going by another rule. Raises `InvalidField`."""
    return _checked(
        replace(
            job,
            asked={**job.asked, "record_param": {"record_rule_id": rule.rule_id}},
            document={**job.document, "record": _snapshot(rule)},
        )
    )


def _job(
    kind: JobKind,
    request: JobRequest,
    opening: Opening,
    *,
    room_id: str,
    stream_name: str,
    asked: Json,
    document: Json,
) -> JobRecord:
    urls = rtmp_urls(request.publish_param)
    rule = opening.rule
    if rule is None and not urls:
        raise InvalidField("record_param", "is missing, nothing would be recorded", Fault.MISSING)
    whole: dict[str, Any] = {
        "job_id": opening.job_id,
        "app_id": opening.app_id,
        "stream_name": stream_name,
        "room": opening.room,
        **document,
    }
    told = dict(asked)
    if rule is not None:
        whole["record"] = _snapshot(rule)
        told["record_param"] = {"record_rule_id": rule.rule_id}
    if urls:
        whole["publish_param"] = {"rtmp_urls": list(urls)}
    return _checked(
        JobRecord(
            job_id=opening.job_id,
            account_id=opening.account_id,
            app_id=opening.app_id,
            kind=kind,
            unique_id=request.job_uniq_id or opening.unique_id,
            room_id=room_id,
            stream_name=stream_name,
            asked=told,
            document=whole,
            created_unix_ms=opening.created_unix_ms,
            updated_unix_ms=opening.created_unix_ms,
            # Until the worker says when it really began (section 15, decision 27).
            started_unix_ms=opening.created_unix_ms,
        )
    )


def _snapshot(rule: Rule) -> Json:
    """The rule as it is now; what is changed or removed later does not matter to the job."""
    return {**rule.body, "rule_id": rule.rule_id}


def _checked(job: JobRecord) -> JobRecord:
    """*job*, which a worker can run: it reads the document as we do."""
    parse_job_document(json.dumps({**job.document, "output": _ANYWHERE}))
    return job
