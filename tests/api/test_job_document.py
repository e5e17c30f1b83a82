import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.api.wire.job_document import job_schema, parse_job_document
from worker.core.layout.geometry import Size
from worker.core.spec import (
    AudioSpec,
    GalleryLayout,
    JanusSpec,
    JobSpec,
    MixSpec,
    RehearsalSpec,
    TestRoomSpec,
)
from worker.core.template import EncodeTemplate
from worker.errors import InvalidField
from worker.testroom.scenario_file import parse_scenario

CONFIGS = Path(__file__).parents[2] / "configs"
SCHEMA_FILE = CONFIGS / "job.schema.json"
EXAMPLES = sorted((CONFIGS / "jobs").glob("*.json"))

JOB: dict[str, Any] = {
    "job_id": "0123456789abcdef0123456789abcdef",
    "room": {"kind": "testroom", "url": "ws://127.0.0.1:8080/ws"},
    "mix_param": {
        "room_id": "room001",
        "encode_template": "1280x720_30_1710",
        "layout_template": "nine_grids_view",
    },
    "output": {"directory": "file:///srv/recordings", "name": "monday"},
    "audio": {"levelling": False, "target_lufs": -20},
    "playout_delay_ms": 800,
    "max_duration_s": 90,
}


def changed(path: str, value: object) -> str:
    """The job with the member at the dotted *path* set to *value*."""
    job = deepcopy(JOB)
    *parents, key = path.split(".")
    place = job
    for parent in parents:
        place = place[parent]
    place[key] = value
    return json.dumps(job)


def without(path: str) -> str:
    job = deepcopy(JOB)
    *parents, key = path.split(".")
    place = job
    for parent in parents:
        place = place[parent]
    del place[key]
    return json.dumps(job)


def complaint_about(text: str | bytes) -> str:
    with pytest.raises(InvalidField) as refused:
        parse_job_document(text)
    return str(refused.value)


# --- what a document means ------------------------------------------------------------------


def test_everything_that_can_be_said() -> None:
    assert parse_job_document(json.dumps(JOB)) == JobSpec(
        job_id="0123456789abcdef0123456789abcdef",
        room=TestRoomSpec("ws://127.0.0.1:8080/ws"),
        mix=MixSpec("room001", EncodeTemplate(Size(1280, 720), 30, 1710), GalleryLayout()),
        directory=Path("/srv/recordings"),
        name="monday",
        audio=AudioSpec(levelling=False, target_lufs=-20),
        playout_delay_ms=800,
        max_duration_s=90,
        stream_name="0123456789abcdef0123456789abcdef",
    )


def test_defaults_stand_in_for_what_is_left_out() -> None:
    job = {key: JOB[key] for key in ("room", "mix_param")} | {"output": {"directory": "out"}}
    spec = parse_job_document(json.dumps(job).encode())
    assert re.fullmatch("[0-9a-f]{32}", spec.job_id)
    assert spec == JobSpec(
        job_id=spec.job_id,
        room=TestRoomSpec("ws://127.0.0.1:8080/ws"),
        mix=MixSpec("room001", EncodeTemplate(Size(1280, 720), 30, 1710), GalleryLayout()),
        directory=Path("out"),
        name=spec.job_id,
        stream_name=spec.job_id,
    )
    assert parse_job_document(json.dumps(job)).job_id != spec.job_id


@pytest.mark.parametrize("path", ["job_id", "output.name", "max_duration_s"])
def test_null_is_the_same_as_leaving_out(path: str) -> None:
    spec, other = parse_job_document(changed(path, None)), parse_job_document(without(path))
    if path == "job_id":
        assert re.fullmatch("[0-9a-f]{32}", spec.job_id)
    else:
        assert spec == other


def test_a_rehearsal_carries_its_scenario_unread() -> None:
    room = {"kind": "rehearsal", "scenario": "not = [ TOML"}
    spec = parse_job_document(changed("room", room))
    assert spec.room == RehearsalSpec("not = [ TOML")


def test_a_janus_room_is_a_number_or_a_name_and_its_secrets_are_not_printed() -> None:
    assert parse_job_document(changed("room", JANUS)).room == JanusSpec("ws://127.0.0.1:8188", 1234)
    secrets = {"pin": "pin-7Q", "token": "token-7Q", "api_secret": "secret-7Q"}
    room = JANUS | secrets | {"room": "board", "user_id": "display", "screen": "^share$"}
    spec = parse_job_document(changed("room", room)).room
    assert spec == JanusSpec(
        url="ws://127.0.0.1:8188",
        room="board",
        pin="pin-7Q",
        token="token-7Q",
        api_secret="secret-7Q",
        user_id_is_display=True,
        screen_pattern="^share$",
    )
    assert "7Q" not in repr(spec)


def test_a_job_id_may_be_written_as_a_number() -> None:
    assert parse_job_document(changed("job_id", 17)).job_id == "17"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("playout_delay_ms", 100),
        ("playout_delay_ms", 5000),
        ("max_duration_s", 0.5),
        ("max_duration_s", 43_200),
        ("audio.target_lufs", -40),
        ("audio.target_lufs", -5.0),
        ("audio", {}),
    ],
)
def test_the_ends_of_the_ranges_are_inside(path: str, value: object) -> None:
    parse_job_document(changed(path, value))


# --- bad input ------------------------------------------------------------------------------

ID_RULE = "must match ^[A-Za-z0-9_-]{1,64}$"
KINDS = "must be one of 'testroom', 'janus', 'rehearsal'"
JANUS = {"kind": "janus", "url": "ws://127.0.0.1:8188", "room": 1234}
BAD = [
    ("job_id", "", f"job_id: {ID_RULE}"),
    ("job_id", "../x", f"job_id: {ID_RULE}"),
    ("job_id", "a" * 65, f"job_id: {ID_RULE}"),
    ("job_id", True, "job_id: must be text"),
    ("room", None, "room: must be an object"),
    ("room", [], "room: must be an object"),
    ("room", {}, "room.kind: is missing"),
    ("room.kind", "zoom", f"room.kind: {KINDS}"),
    ("room.kind", 1, f"room.kind: {KINDS}"),
    ("room", {"kind": "testroom"}, "room.url: is missing"),
    ("room.url", "", "room.url: must be 1 to 2048 visible ASCII characters"),
    ("room.url", 5, "room.url: must be text"),
    ("room.url", "http://127.0.0.1/", "room.url: must be ws://host[:port]/path or wss://"),
    ("room.testroom", 1, "room.testroom: is not a known key"),
    ("room.scenario", "x", "room.scenario: is not a known key"),
    ("room", {"kind": "rehearsal"}, "room.scenario: is missing"),
    ("room", {"kind": "rehearsal", "scenario": ""}, "room.scenario: must not be empty"),
    ("room", {"kind": "janus"}, "room.url: is missing"),
    ("room", JANUS | {"url": "http://127.0.0.1"}, "room.url: must be ws://"),
    ("room", JANUS | {"room": True}, "room.room: must be a whole number"),
    ("room", JANUS | {"room": 0}, "room.room: 0 is below 1"),
    ("room", JANUS | {"room": 1.5}, "room.room: must be a whole number"),
    ("room", JANUS | {"room": 1 << 53}, f"room.room: {1 << 53} is above"),
    ("room", JANUS | {"pin": ""}, "room.pin: must not be empty"),
    ("room", JANUS | {"pin": 1234}, "room.pin: must be text"),
    ("room", JANUS | {"user_id": "name"}, "room.user_id: must be 'id' or 'display'"),
    ("room", JANUS | {"screen": "("}, "room.screen: is not a regular expression"),
    ("room", JANUS | {"screen": "x" * 201}, "room.screen: is longer than 200 characters"),
    ("output", "out", "output: must be an object"),
    ("output.directory", "", "output.directory: must be a printable path"),
    ("output.directory", "../out", "output.directory: must not have the parts . or .."),
    ("output.directory", "s3://bucket/x", "output.directory: must be file:///path or a plain path"),
    ("output.directory", None, "output.directory: must be text"),
    ("output.name", "", "output.name: must be a printable file name"),
    ("output.name", "../x", "output.name: must be a printable file name"),
    ("output.name", "a/b", "output.name: must be a printable file name"),
    ("output.name", 5, "output.name: must be text"),
    ("output.nmae", "x", "output.nmae: is not a known key"),
    ("audio", None, "audio: must be an object"),
    ("audio.levelling", 1, "audio.levelling: must be true or false"),
    ("audio.levelling", "true", "audio.levelling: must be true or false"),
    ("audio.target_lufs", -40.1, "audio.target_lufs: -40.1 is below -40"),
    ("audio.target_lufs", -4, "audio.target_lufs: -4 is above -5"),
    ("audio.target_lufs", True, "audio.target_lufs: must be a number"),
    ("audio.speakers", 4, "audio.speakers: is not a known key"),
    ("playout_delay_ms", 99, "playout_delay_ms: 99 is below 100"),
    ("playout_delay_ms", 5001, "playout_delay_ms: 5001 is above 5000"),
    ("playout_delay_ms", 600.0, "playout_delay_ms: must be a whole number"),
    ("playout_delay_ms", "600", "playout_delay_ms: must be a whole number"),
    ("playout_delay_ms", None, "playout_delay_ms: must be a whole number"),
    ("max_duration_s", 0, "max_duration_s: 0 is not above 0"),
    ("max_duration_s", 43_200.5, "max_duration_s: 43200.5 is above 43200"),
    ("max_duration_s", "90", "max_duration_s: must be a number"),
    ("version", 2, "version: is not a known key"),
    ("testroom", 2, "testroom: is not a known key"),
    ("x" * 500, 2, "x" * 64 + ": is not a known key"),
    ("a\u202e", 2, r"'a\u202e': is not a known key"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), BAD)
def test_a_bad_field_is_refused_with_its_path(path: str, value: object, complaint: str) -> None:
    assert complaint_about(changed(path, value)).startswith(complaint)


@pytest.mark.parametrize("path", ["room", "mix_param", "output", "output.directory"])
def test_what_is_needed_must_be_there(path: str) -> None:
    assert complaint_about(without(path)) == f"{path}: is missing"


def test_an_unknown_key_is_named_before_the_one_that_is_missing() -> None:
    job = deepcopy(JOB)
    job["mix_params"] = job.pop("mix_param")
    assert complaint_about(json.dumps(job)) == "mix_params: is not a known key"


@pytest.mark.parametrize("text", ["null", "[]", '"x"', "3"])
def test_the_document_must_be_an_object(text: str) -> None:
    assert complaint_about(text) == "document: must be an object"


def test_what_is_not_json_is_refused() -> None:
    assert complaint_about(b"\xff").startswith("document: is not UTF-8")
    assert complaint_about(json.dumps(JOB)[:-1]).startswith("document: is not JSON")
    assert complaint_about(changed("max_duration_s", float("nan"))).startswith("max_duration_s: ")


def test_an_error_does_not_repeat_the_text_it_is_about() -> None:
    with pytest.raises(InvalidField) as refused:
        parse_job_document(changed("room.url", "ws://user:secret@host/ws"))
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidField) as refused:
        parse_job_document(changed("room", {"kind": "secret"}))
    assert "secret" not in str(refused.value)
    # Nor does the error behind it, which a log may print.
    assert refused.value.__cause__ is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    return [path, *(place for key, inner in members for place in places(inner, (*path, key)))]


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_whatever_stands_anywhere_gives_a_job_or_a_clear_refusal(data: st.DataObject) -> None:
    example = json.loads(data.draw(st.sampled_from(EXAMPLES), label="example").read_text())
    place = data.draw(st.sampled_from(places(example)), label="place")
    value = data.draw(JSON_VALUES, label="value")
    if not place:
        example = value
    else:
        *parents, key = place
        target = example
        for parent in parents:
            target = target[parent]
        target[key] = value
    refused_or_read(json.dumps(example))


@given(st.sampled_from(EXAMPLES), st.integers(0, 2000), st.binary(max_size=4), st.integers(0, 4))
@settings(deadline=None, max_examples=200)
def test_damaged_text_gives_a_job_or_a_clear_refusal(
    example: Path, at: int, inserted: bytes, removed: int
) -> None:
    text = example.read_bytes()
    refused_or_read(text[:at] + inserted + text[at + removed :])


def refused_or_read(text: str | bytes) -> None:
    try:
        parse_job_document(text)
    except InvalidField as refusal:
        assert refusal.path and refusal.reason
        str(refusal).encode()


# --- schema and examples --------------------------------------------------------------------


def test_the_schema_file_is_the_one_the_models_make() -> None:
    # To renew it: json.dumps(job_schema(), indent=2) and a line end.
    assert SCHEMA_FILE.read_text() == json.dumps(job_schema(), indent=2) + "\n"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(job_schema())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_jobs(example: Path) -> None:
    job = parse_job_document(example.read_bytes())
    assert job.name
    jsonschema.validate(
        json.loads(example.read_text()), job_schema(), jsonschema.Draft202012Validator
    )
    if isinstance(job.room, RehearsalSpec):
        parse_scenario(job.room.scenario)


def test_the_examples_show_every_layout_and_kind_of_room() -> None:
    jobs = [parse_job_document(example.read_bytes()) for example in EXAMPLES]
    assert {type(job.room) for job in jobs} == {TestRoomSpec, JanusSpec, RehearsalSpec}
    assert {type(job.mix.layout).__name__ for job in jobs if job.mix.template} == {
        "GalleryLayout",
        "ScreenShareLayout",
        "CustomLayout",
    }
    assert any(job.mix.template is None for job in jobs)


SCHEMA_REFUSES: list[Mapping[str, Any]] = [
    {"job_id": "../x"},
    {"room": {"kind": "janus"}},
    {"room": {"kind": "testroom"}},
    {"mix_param": {"room_id": "r"}},
    {"mix_param": JOB["mix_param"] | {"max_idle_time": 4}},
    {"mix_param": JOB["mix_param"] | {"layout_panes": [{"zorder": 31}]}},
    {"mix_param": JOB["mix_param"] | {"encode_template": "big"}},
    {"playout_delay_ms": 99},
    {"version": 2},
]


@pytest.mark.parametrize("change", SCHEMA_REFUSES)
def test_the_schema_refuses_what_an_editor_should_underline(change: Mapping[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(JOB | dict(change), job_schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": 17},
        {"job_id": None},
        {"mix_param": JOB["mix_param"] | {"max_idle_time": 0}},
        {"mix_param": JOB["mix_param"] | {"encode_template": "1280*720_30_1710"}},
        {"mix_param": JOB["mix_param"] | {"layout_panes": None}},
    ],
)
def test_what_the_parser_takes_the_schema_takes(change: Mapping[str, Any]) -> None:
    job = JOB | dict(change)
    parse_job_document(json.dumps(job))
    jsonschema.validate(job, job_schema(), jsonschema.Draft202012Validator)
