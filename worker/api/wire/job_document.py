"""The job document: the API's mix_param inside, room and outputs around it."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import ConfigDict, Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from worker.api.wire.addresses import callback_url, directory, file_name, room_url
from worker.api.wire.mix_param import Id, MixParam, WireModel
from worker.api.wire.mix_spec import mix_spec
from worker.api.wire.record import (
    Callback,
    PublishParam,
    RecordRuleBody,
    callback_spec,
    record_rule,
    rtmp_urls,
)
from worker.api.wire.refusal import read, refuse
from worker.api.wire.strict_json import decode
from worker.core.identity import UserId
from worker.core.spec import (
    DEFAULT_APP_ID,
    SCREEN_PATTERN,
    AudioSpec,
    ControlSpec,
    JanusSpec,
    JobSpec,
    RehearsalSpec,
    RoomSpec,
    TestRoomSpec,
)
from worker.errors import Fault, InvalidField

MAX_DURATION_S = 12 * 3600
MAX_ROOM_NUMBER = (1 << 53) - 1
MAX_HEARD_USERS = 25
MAX_ATTEMPTS = 1_000_000
_TOKEN_PATTERN = "^[0-9a-f]{64}$"

RoomName = Annotated[str, Field(min_length=1, max_length=128)]
Secret = Annotated[str, Field(min_length=1, max_length=1024)]
DisplayName = Annotated[str, Field(min_length=1, max_length=64)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
StreamName = Annotated[str, Field(min_length=1, max_length=256)]


class ServedRoom(WireModel):
    """A room of a test-room server."""

    kind: Literal["testroom"]
    url: str
    """ws:// or wss:// address of the server's signalling."""
    room: RoomName | None = None
    """Default: mix_param.room_id."""


class JanusRoom(WireModel):
    """A VideoRoom of a Janus server."""

    kind: Literal["janus"]
    url: str
    """ws:// or wss:// address of the server."""
    room: Annotated[int, Field(ge=1, le=MAX_ROOM_NUMBER)] | RoomName
    """A number, or a name where the server uses those."""
    pin: Secret | None = None
    token: Secret | None = None
    """Invitation, where the room or the server asks for one."""
    api_secret: Secret | None = None
    display: DisplayName = "mixworker"
    """What the others see of the recorder, if they list who only listens."""
    user_id: Literal["id", "display"] = "id"
    """By what mix_param's user ids name a publisher: Janus's id or the display name."""
    screen: Pattern = SCREEN_PATTERN
    """Regular expression; a video whose description matches it is a shared screen."""


class RehearsalRoom(WireModel):
    """A room inside the worker: synthetic participants, no network."""

    kind: Literal["rehearsal"]
    scenario: Annotated[str, Field(min_length=1)]
    """Text of a scenario file (TOML)."""


class Output(WireModel):
    """Where the result goes and, without `record`, the recording."""

    directory: str
    """file:///path or a plain path; receives <name>.json and, without `record`, <name>.mp4."""
    name: str | None = None
    """File name without an ending; default: the job id."""


class Audio(WireModel):
    """How the mix shall sound."""

    levelling: bool = True
    """Moves voices toward target_lufs, slowly."""
    target_lufs: Annotated[float, Field(ge=-40, le=-5)] = -16.0
    users: Annotated[list[Id], Field(max_length=MAX_HEARD_USERS)] | None = None
    """Who may be heard; default: everybody. An empty list: silence."""


class Control(WireModel):
    """The control plane that started the worker."""

    url: str
    """http:// or https:// address; receives what happens, and gives orders."""
    token: Annotated[str, Field(pattern=_TOKEN_PATTERN)]
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)]
    """Number of this worker among those of the job."""


class JobDocument(WireModel):
    """One job of mixworker."""

    model_config = ConfigDict(title="mixworker job")

    job_id: Id | None = None
    """Default: 32 random hexadecimal digits."""
    room: Annotated[ServedRoom | JanusRoom | RehearsalRoom, Field(discriminator="kind")]
    mix_param: MixParam
    output: Output
    audio: Audio = Audio()
    playout_delay_ms: Annotated[int, Field(ge=100, le=5000)] = 600
    """How late the recording runs behind the room; spent on retransmission and jitter."""
    max_duration_s: Annotated[float, Field(gt=0, le=MAX_DURATION_S)] | None = None
    """Ends the job after this much recording; default: runs until stopped or idle."""
    app_id: Id | None = None
    """For names and callbacks; default: the record rule's, else mixworker."""
    stream_name: StreamName | None = None
    """For names and callbacks; default: the job id."""
    record: RecordRuleBody | None = None
    """What is recorded, and stored where; default: one MP4 file in output.directory."""
    store: str | None = None
    """Store of the recording, s3://bucket or file:///directory; default: as the worker's settings
    say for record.obs_addr."""
    publish_param: PublishParam | None = None
    callback: Callback | None = None
    control: Control | None = None
    """In place of callback: tells the control plane, which has callbacks of its own."""


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
        raise refuse(exc, tagged=("room", "room.room")) from None
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
    rule = document.record
    app_id = document.app_id or (rule and rule.app_id) or DEFAULT_APP_ID
    stream_name = document.stream_name or job_id
    if document.store is not None and rule is None:
        raise InvalidField("store", "is only of use with record", Fault.COMBINATION)
    if document.control is not None and document.callback is not None:
        raise InvalidField("callback", "is the control plane's business", Fault.COMBINATION)
    heard = document.audio.users
    return JobSpec(
        job_id=job_id,
        room=_room_spec(document.room),
        mix=mix_spec(document.mix_param),
        directory=read("output.directory", directory, document.output.directory),
        name=job_id if name is None else read("output.name", file_name, name),
        audio=AudioSpec(
            document.audio.levelling,
            document.audio.target_lufs,
            users=None if heard is None else frozenset(map(UserId, heard)),
        ),
        playout_delay_ms=document.playout_delay_ms,
        max_duration_s=document.max_duration_s,
        app_id=app_id,
        stream_name=stream_name,
        record=None
        if rule is None
        else record_rule(rule, app_id=app_id, stream_name=stream_name, store=document.store),
        rtmp_urls=rtmp_urls(document.publish_param),
        callback=callback_spec(document.callback),
        control=_control_spec(document.control),
    )


def _control_spec(control: Control | None) -> ControlSpec | None:
    if control is None:
        return None
    url = read("control.url", callback_url, control.url)
    return ControlSpec(url.rstrip("/"), control.token, control.attempt)


def _room_spec(room: ServedRoom | JanusRoom | RehearsalRoom) -> RoomSpec:
    match room:
        case ServedRoom(url=url, room=name):
            return TestRoomSpec(read("room.url", room_url, url), name)
        case JanusRoom():
            return JanusSpec(
                url=read("room.url", room_url, room.url),
                room=room.room,
                pin=room.pin,
                token=room.token,
                api_secret=room.api_secret,
                display_name=room.display,
                user_id_is_display=room.user_id == "display",
                screen_pattern=read("room.screen", _pattern, room.screen),
            )
        case RehearsalRoom(scenario=scenario):
            return RehearsalSpec(scenario)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        raise ValueError("is not a regular expression") from None
    return text
