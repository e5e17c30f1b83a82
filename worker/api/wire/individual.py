"""A job that records one user: the same worker, with one pane and one voice.

Source: API reference section 4 (IndividualStreamJobReq) and section 15, decision 16.
"""

from worker.api.wire.job_request import IndividualJobRequest
from worker.api.wire.mix_spec import DEFAULT_MAX_IDLE_S
from worker.core.template import AUDIO_ONLY
from worker.errors import Fault, InvalidField
from worker.jobs.values import Json

_DEFAULT_STREAM = "FHD"
_TEMPLATES = {
    "FHD": "1920x1080_30_3150",
    "HD": "1280x720_30_1710",
    "SD": "640x480_30_1000",
    "LD": "480x360_15_320",
}
"""Ours: the API only says that they are sizes of a user's stream."""


def individual_asked(request: IndividualJobRequest) -> Json:
    """*request* as it counts, for answers. Raises `InvalidField` when nothing is left to record."""
    if not request.video_type and not _records_audio(request):
        raise InvalidField(
            "is_record_audio", "is false, and there is no video either", Fault.COMBINATION
        )
    return {
        "room_id": request.room_id,
        "user_id": request.user_id,
        "is_record_audio": _records_audio(request),
        "video_type": request.video_type or "",
        "select_stream_type": request.select_stream_type or _DEFAULT_STREAM,
        "max_idle_time": _max_idle_s(request),
    }


def individual_mix(request: IndividualJobRequest) -> Json:
    """The mix_param of the worker: the user's video, whole, on all of the canvas."""
    mix = {"room_id": request.room_id, "max_idle_time": _max_idle_s(request)}
    if not request.video_type:
        return {**mix, "encode_template": AUDIO_ONLY}
    pane = {
        "user_id": request.user_id,
        "video_type": request.video_type,
        "x": 0,
        "y": 0,
        "width": 1,
        "height": 1,
        "crop_mode": "KEEP_RATIO_PADDING",
    }
    return {
        **mix,
        "encode_template": _TEMPLATES[request.select_stream_type or _DEFAULT_STREAM],
        "layout_template": "custom",
        "layout_panes": [pane],
    }


def individual_audio(request: IndividualJobRequest) -> Json:
    """The audio of the worker: the user's voice, or silence."""
    return {"users": [request.user_id] if _records_audio(request) else []}


def _records_audio(request: IndividualJobRequest) -> bool:
    return request.is_record_audio is not False


def _max_idle_s(request: IndividualJobRequest) -> int:
    return request.max_idle_time or DEFAULT_MAX_IDLE_S
