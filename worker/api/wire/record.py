"""The API's RecordRule, publish_param and record callback as they are written.

Source: API reference sections 4, 7, 8 and the decisions of its section 15.
"""

from typing import Annotated, Literal

from pydantic import Field

from worker.api.wire.addresses import bucket_name, callback_url, rtmp_url, store_address
from worker.api.wire.mix_param import Id, WireModel
from worker.api.wire.refusal import read
from worker.core.record.naming import (
    DEFAULT_PREFIX,
    MAX_KEY_BYTES,
    KeyTemplate,
    check_key,
)
from worker.core.record.rule import FileRule, ObjectAddress, RecordFormat, RecordRule
from worker.core.spec import CallbackEvent, CallbackSpec
from worker.errors import Fault, InvalidField

MIN_CYCLE_S = 60
MAX_HLS_CYCLE_S, MAX_MP4_CYCLE_S = 43_200, 10_800
DEFAULT_MP4_CYCLE_S = 7_200
MIN_SLICE_S, MAX_SLICE_S, DEFAULT_SLICE_S = 2, 60, 10
MAX_MERGE_S = 300
ALWAYS_MERGE = -1
"""HLS: whatever comes after an interruption goes into the same recording."""
MAX_RTMP_URLS = 5
MIN_AUTH_KEY_CHARS, MAX_AUTH_KEY_CHARS = 32, 64

_LOCATION_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_AUTH_KEY_PATTERN = "^([!-~]{32,64})?$"

Text = Annotated[str, Field(max_length=256)]
Prefix = Annotated[str, Field(max_length=1024)]


class ObjectStorage(WireModel):
    """The API's obs_addr."""

    location: Annotated[str, Field(pattern=_LOCATION_PATTERN)]
    """Region; the worker's settings know its endpoint."""
    project_id: Text | None = None
    """Accepted, and not used."""
    bucket: str
    object: Annotated[str, Field(max_length=MAX_KEY_BYTES)] | None = None
    """What every key begins with; usually ends with /."""


class HlsConfig(WireModel):
    """HLS: MPEG-TS segments and a playlist."""

    record_cycle: int | None = None
    """Seconds until a new recording begins, 60..43200; 0 (default): never."""
    record_prefix: Prefix | None = None
    """Name of the playlist, with macros."""
    record_slice_duration: int | None = None
    """Seconds of a segment, 2..60; default 10."""
    record_max_duration_to_merge_file: int | None = None
    """Seconds an interruption may last within a recording, 0 (default) to 300; -1: any time."""


class Mp4Config(WireModel):
    """MP4 files."""

    record_cycle: int | None = None
    """Seconds until a new file begins, 60..10800; default 7200."""
    record_prefix: Prefix | None = None
    """Name of the file, with macros."""
    record_max_duration_to_merge_file: int | None = None
    """Seconds an interruption may last within a file, 0 (default) to 300."""


class RecordRuleBody(WireModel):
    """The API's RecordRule. The settings of a format that is not recorded do not matter."""

    rule_id: Id | None = None
    app_id: Id | None = None
    create_time: Text | None = None
    update_time: Text | None = None
    obs_addr: ObjectStorage
    record_formats: Annotated[list[Literal["HLS", "MP4"]], Field(min_length=1, max_length=16)]
    hls_config: HlsConfig | None = None
    mp4_config: Mp4Config | None = None


class PublishParam(WireModel):
    """Where the mix is pushed live."""

    rtmp_urls: Annotated[list[str], Field(max_length=MAX_RTMP_URLS)] | None = None
    """rtmp:// or rtmps:// addresses, stream keys included."""


CallbackEventName = Literal[
    "RECORD_NEW_FILE_START",
    "RECORD_FILE_COMPLETE",
    "CLOUD_RECORD_SERVER_OVER",
    "CLOUD_RECORD_OVER",
]

_EVENTS = {
    "RECORD_NEW_FILE_START": CallbackEvent.FILE_STARTED,
    "RECORD_FILE_COMPLETE": CallbackEvent.FILE_COMPLETED,
    "CLOUD_RECORD_SERVER_OVER": CallbackEvent.RECORDING_OVER,
    # The name the same event has in subscriptions.
    "CLOUD_RECORD_OVER": CallbackEvent.RECORDING_OVER,
}


class Callback(WireModel):
    """Who is told of recorded files, by HTTP."""

    url: str
    """http:// or https:// address."""
    auth_key: Annotated[str, Field(pattern=_AUTH_KEY_PATTERN)] | None = None
    """32 to 64 visible characters that sign the messages; empty: they are not signed."""
    events: Annotated[list[CallbackEventName], Field(max_length=16)] | None = None
    """Default: all."""


def record_rule(
    body: RecordRuleBody, *, app_id: str, stream_name: str, store: str | None, path: str = "record"
) -> RecordRule:
    """The rule that *body* asks for. Raises `InvalidField` below *path*."""
    address = _address(body.obs_addr, f"{path}.obs_addr")
    wanted = {RecordFormat(name) for name in body.record_formats}
    rule = RecordRule(
        address=address,
        mp4=_mp4(body.mp4_config, f"{path}.mp4_config") if RecordFormat.MP4 in wanted else None,
        hls=_hls(body.hls_config, f"{path}.hls_config") if RecordFormat.HLS in wanted else None,
        store=None if store is None else read("store", store_address, store),
    )
    for each in rule.files:
        field = f"{path}.{each.value.lower()}_config.record_prefix"
        try:
            rule.names(each, app_id=app_id, stream=stream_name)
        except ValueError as exc:
            raise InvalidField(field, str(exc)) from exc
    return rule


def rtmp_urls(body: PublishParam | None) -> tuple[str, ...]:
    """Every address once, in the order given. Raises `InvalidField`."""
    urls = [] if body is None else body.rtmp_urls or []
    return tuple(
        dict.fromkeys(
            read(f"publish_param.rtmp_urls[{index}]", rtmp_url, url)
            for index, url in enumerate(urls)
        )
    )


def callback_spec(body: Callback | None) -> CallbackSpec | None:
    """Raises `InvalidField`."""
    if body is None:
        return None
    names = _EVENTS if body.events is None else body.events
    return CallbackSpec(
        url=read("callback.url", callback_url, body.url),
        auth_key=body.auth_key or None,
        events=frozenset(_EVENTS[name] for name in names),
    )


def _address(body: ObjectStorage, path: str) -> ObjectAddress:
    prefix = body.object or ""
    return ObjectAddress(
        location=body.location,
        bucket=read(f"{path}.bucket", bucket_name, body.bucket),
        key_prefix=read(f"{path}.object", _key_prefix, prefix) if prefix else "",
    )


def _key_prefix(text: str) -> str:
    if len(text.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"is longer than {MAX_KEY_BYTES} bytes")
    # What ends with / is a folder.
    check_key(text.removesuffix("/"))
    return text


def _mp4(body: Mp4Config | None, path: str) -> FileRule:
    if body is None:
        raise InvalidField(path, "is missing", Fault.MISSING)
    cycle_s = DEFAULT_MP4_CYCLE_S if body.record_cycle is None else body.record_cycle
    _check(f"{path}.record_cycle", cycle_s, MIN_CYCLE_S, MAX_MP4_CYCLE_S)
    merge_s = body.record_max_duration_to_merge_file or 0
    _check(f"{path}.record_max_duration_to_merge_file", merge_s, 0, MAX_MERGE_S)
    return FileRule(_keys(body.record_prefix, path), cycle_s, merge_s)


def _hls(body: HlsConfig | None, path: str) -> FileRule:
    if body is None:
        raise InvalidField(path, "is missing", Fault.MISSING)
    cycle_s = body.record_cycle or 0
    if cycle_s != 0:
        _check(f"{path}.record_cycle", cycle_s, MIN_CYCLE_S, MAX_HLS_CYCLE_S)
    asked_s = body.record_slice_duration
    slice_s = DEFAULT_SLICE_S if asked_s is None else asked_s
    _check(f"{path}.record_slice_duration", slice_s, MIN_SLICE_S, MAX_SLICE_S)
    merge_s = body.record_max_duration_to_merge_file or 0
    _check(f"{path}.record_max_duration_to_merge_file", merge_s, ALWAYS_MERGE, MAX_MERGE_S)
    return FileRule(
        _keys(body.record_prefix, path),
        cycle_s,
        None if merge_s == ALWAYS_MERGE else merge_s,
        slice_s,
    )


def _keys(prefix: str | None, path: str) -> KeyTemplate:
    return read(f"{path}.record_prefix", KeyTemplate, prefix or DEFAULT_PREFIX)


def _check(path: str, value: int, lowest: int, highest: int) -> None:
    if value < lowest:
        raise InvalidField(path, f"{value} is below {lowest}")
    if value > highest:
        raise InvalidField(path, f"{value} is above {highest}")
