"""Bodies of the requests about jobs.

Source: API reference section 4 (MixJobReq, UpdateMixJobReq, IndividualStreamJobReq,
UpdateIndividualJobReq, RecordParam) and section 15, decisions 14 to 16.
"""

from typing import Literal

from worker.api.wire.mix_param import Id, IdleTime, MixChange, MixParam, WireModel
from worker.api.wire.record import PublishParam

StreamType = Literal["LD", "SD", "HD", "FHD"]


class RecordParam(WireModel):
    """By which rule it is recorded."""

    record_rule_id: Id


class JobRequest(WireModel):
    """What requests for new jobs have in common."""

    record_param: RecordParam | None = None
    """Needed unless publish_param names an address."""
    publish_param: PublishParam | None = None
    """Where the job is pushed live, too."""
    job_uniq_id: Id | None = None
    """The caller's key: of several unfinished jobs of an application only one has it."""


class MixJobRequest(JobRequest):
    """Starts a job that records everybody of a room in one picture."""

    mix_param: MixParam


class MixJobChange(WireModel):
    """Changes the layout of a running job."""

    mix_param: MixChange


class IndividualJobRequest(JobRequest):
    """Starts a job that records one user of a room."""

    room_id: Id
    user_id: Id
    is_record_audio: bool | None = None
    """Default true."""
    video_type: Literal["CAMERASTREAM", "SCREENSTREAM", ""] | None = "CAMERASTREAM"
    """Empty or null: no video."""
    select_stream_type: StreamType | None = None
    """Size of the picture; default FHD."""
    max_idle_time: IdleTime = None
    """Seconds without a publisher after which the job ends; default 30, also for 0."""


class IndividualJobChange(WireModel):
    """Lets a job go by another rule."""

    record_param: RecordParam
