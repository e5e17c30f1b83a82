"""The job document: the API's mix_param inside, room and outputs around it."""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import ConfigDict, Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from worker.api.wire.addresses import directory, file_name, room_url
from worker.api.wire.mix_param import Id, MixParam, WireModel
from worker.api.wire.mix_spec import mix_spec
from worker.api.wire.refusal import read, refuse
from worker.api.wire.strict_json import decode
from worker.core.spec import AudioSpec, JobSpec, RehearsalSpec, RoomSpec, TestRoomSpec

MAX_DURATION_S = 12 * 3600


class ServedRoom(WireModel):
    """A room of a test-room server."""

    kind: Literal["testroom"]
    url: str
    """ws:// or wss:// address of the server's signalling; mix_param.room_id names the room."""


class RehearsalRoom(WireModel):
    """A room inside the worker: synthetic participants, no network."""

    kind: Literal["rehearsal"]
    scenario: Annotated[str, Field(min_length=1)]
    """Text of a scenario file (TOML)."""


class Output(WireModel):
    """Where the recording goes."""

    directory: str
    """file:///path or a plain path; receives <name>.mp4 and <name>.json."""
    name: str | None = None
    """File name without an ending; default: the job id."""


class Audio(WireModel):
    """How the mix shall sound."""

    levelling: bool = True
    """Moves voices toward target_lufs, slowly."""
    target_lufs: Annotated[float, Field(ge=-40, le=-5)] = -16.0


class JobDocument(WireModel):
    """One job of mixworker."""

    model_config = ConfigDict(title="mixworker job")

    job_id: Id | None = None
    """Default: 32 random hexadecimal digits."""
    room: Annotated[ServedRoom | RehearsalRoom, Field(discriminator="kind")]
    mix_param: MixParam
    output: Output
    audio: Audio = Audio()
    playout_delay_ms: Annotated[int, Field(ge=100, le=5000)] = 600
    """How late the recording runs behind the room; spent on retransmission and jitter."""
    max_duration_s: Annotated[float, Field(gt=0, le=MAX_DURATION_S)] | None = None
    """Ends the job after this much recording; default: runs until stopped or idle."""


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat the key."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def parse_job_document(text: str | bytes) -> JobSpec:
    """The job that *text* (JSON, UTF-8, at most 1 MiB) asks for.

    Nothing is looked up or opened, and a rehearsal's scenario is not read yet. Raises
    `InvalidField` with the path of the first mistake, for any input whatever.
    """
    value = decode(text)
    try:
        document = JobDocument.model_validate(value)
    except ValidationError as exc:
        # Not chained: pydantic's text repeats the values of the document.
        raise refuse(exc, tagged=("room",)) from None
    return _job_spec(document)


def job_schema() -> Mapping[str, object]:
    """The JSON schema (draft 2020-12) of job documents.

    It says less than `parse_job_document`, which knows what fields mean together.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **JobDocument.model_json_schema(schema_generator=_Untitled),
    }


def _job_spec(document: JobDocument) -> JobSpec:
    job_id = document.job_id or uuid4().hex
    name = document.output.name
    return JobSpec(
        job_id=job_id,
        room=_room_spec(document.room),
        mix=mix_spec(document.mix_param),
        directory=read("output.directory", directory, document.output.directory),
        name=job_id if name is None else read("output.name", file_name, name),
        audio=AudioSpec(document.audio.levelling, document.audio.target_lufs),
        playout_delay_ms=document.playout_delay_ms,
        max_duration_s=document.max_duration_s,
    )


def _room_spec(room: ServedRoom | RehearsalRoom) -> RoomSpec:
    if isinstance(room, ServedRoom):
        return TestRoomSpec(read("room.url", room_url, room.url))
    return RehearsalSpec(room.scenario)
