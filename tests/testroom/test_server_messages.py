"""What a client may send, and how what it must not send is named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.identity import Kind, Source
from worker.errors import InvalidField
from worker.testroom.protocol import (
    MAX_MESSAGE_BYTES,
    Join,
    PeerId,
    Ping,
    Publish,
    PublishedTrack,
    Role,
    Signal,
    encode_signal,
    parse,
)

JOIN = {"type": "join", "room": "demo", "user_id": "ada", "name": "Ada", "role": "publisher"}
TRACK = {"track": "cam", "kind": "video", "source": "camera", "muted": False}


def mistake(message: object) -> str:
    with pytest.raises(InvalidField) as caught:
        parse(message if isinstance(message, str) else json.dumps(message))
    return caught.value.path


def test_a_join_is_read() -> None:
    message = parse(json.dumps(JOIN | {"role": "subscriber", "token": "t", "later": 1}))

    assert message == Join("demo", "ada", "Ada", Role.SUBSCRIBER, "t")  # type: ignore[arg-type]


def test_tracks_are_read() -> None:
    message = parse(json.dumps({"type": "tracks", "tracks": [TRACK]}))

    assert message == Publish((PublishedTrack("cam", Kind.VIDEO, Source.CAMERA, muted=False),))


def test_a_ping_is_read() -> None:
    assert parse('{"type":"ping"}') == Ping()


def test_a_signal_arrives_with_the_same_data() -> None:
    data = {"kind": "offer", "sdp": "v=0\r\n", "mids": {"0": "ä\u2028"}, "n": [1, 2.5, None]}

    message = parse(json.dumps({"type": "signal", "to": "p1", "data": data}))

    assert isinstance(message, Signal)
    relayed = json.loads(encode_signal(PeerId("p0"), message.data))
    assert relayed == {"type": "signal", "from": "p0", "data": data}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{",
        '{"a":NaN}',
        '{"a":Infinity}',
        "[" * 200_000,
        '{"a":' * 20_000,
        "9" * 5000,
        '{"type":"ping"} {"type":"ping"}',
    ],
)
def test_what_is_not_a_json_object_is_named_a_bad_message(text: str) -> None:
    assert mistake(text) == "message"


@pytest.mark.parametrize("kind", [None, 1, "welcome", "JOIN", ["join"], {"a": 1}])
def test_an_unknown_type_is_named(kind: object) -> None:
    assert mistake({"type": kind}) == "type"


@pytest.mark.parametrize("field", ["room", "user_id", "name", "role"])
@pytest.mark.parametrize("value", [None, 7, "", [], {}, True])
def test_a_join_field_of_the_wrong_kind_is_named(field: str, value: object) -> None:
    assert mistake(JOIN | {field: value}) == field


@pytest.mark.parametrize("field", ["room", "user_id", "name", "role"])
def test_a_missing_join_field_is_named(field: str) -> None:
    assert mistake({key: value for key, value in JOIN.items() if key != field}) == field


@pytest.mark.parametrize("field", ["room", "user_id"])
@pytest.mark.parametrize("value", ["a b", "x" * 65, "ä", "a/b", "a\n", "../x"])
def test_ids_are_letters_digits_dash_and_underscore(field: str, value: str) -> None:
    assert mistake(JOIN | {field: value}) == field


def test_ids_of_64_characters_are_accepted() -> None:
    longest = "aZ09-_" * 10 + "abcd"

    message = parse(json.dumps(JOIN | {"room": longest, "user_id": longest}))

    assert isinstance(message, Join)
    assert (message.room, message.user_id) == (longest, longest)


@pytest.mark.parametrize("name", ["李 明", "👩‍👩‍👧", "x" * 64, "Zoë <b>&amp;</b>"])
def test_a_name_is_free_text(name: str) -> None:
    message = parse(json.dumps(JOIN | {"name": f"  {name} "}))

    assert isinstance(message, Join)
    assert message.name == name


@pytest.mark.parametrize("name", ["   ", "x" * 65, "a\x00b", "a\nb", "a\u2028b", "a\ud800b"])
def test_a_name_has_1_to_64_printable_characters(name: str) -> None:
    assert mistake(JOIN | {"name": name}) == "name"


@pytest.mark.parametrize("token", [1, [], True, "x" * 257])
def test_a_token_is_text_of_limited_length(token: object) -> None:
    assert mistake(JOIN | {"token": token}) == "token"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"track": ""}, "track"),
        ({"track": "x" * 65}, "track"),
        ({"track": "a b"}, "track"),
        ({"track": 1}, "track"),
        ({"kind": "text"}, "kind"),
        ({"kind": ["audio"]}, "kind"),
        ({"source": "window"}, "source"),
        ({"source": "microphone"}, "source"),
        ({"kind": "audio"}, "source"),
        ({"muted": 0}, "muted"),
        ({"muted": None}, "muted"),
    ],
)
def test_a_mistake_in_a_track_is_named_with_its_place(change: dict[str, Any], path: str) -> None:
    tracks = [TRACK, TRACK | {"track": "other"} | change]

    assert mistake({"type": "tracks", "tracks": tracks}) == f"tracks[1].{path}"


def test_a_track_listed_twice_is_named() -> None:
    assert mistake({"type": "tracks", "tracks": [TRACK, TRACK]}) == "tracks[1].track"


def test_64_tracks_are_the_most() -> None:
    tracks = [TRACK | {"track": f"t{n}"} for n in range(65)]

    assert len(parse(json.dumps({"type": "tracks", "tracks": tracks[:64]})).tracks) == 64  # type: ignore[union-attr]
    assert mistake({"type": "tracks", "tracks": tracks}) == "tracks"


@pytest.mark.parametrize("tracks", [None, {}, "x", 3])
def test_tracks_that_are_no_list_are_named(tracks: object) -> None:
    assert mistake({"type": "tracks", "tracks": tracks}) == "tracks"


@pytest.mark.parametrize("entry", [None, [], "cam"])
def test_a_track_that_is_no_object_is_named(entry: object) -> None:
    assert mistake({"type": "tracks", "tracks": [entry]}) == "tracks[0]"


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_signal_data_must_be_an_object(data: object) -> None:
    assert mistake({"type": "signal", "to": "p1", "data": data}) == "data"


def test_signal_data_that_others_could_not_read_is_refused() -> None:
    assert mistake({"type": "signal", "to": "p1", "data": {"sdp": "\ud800"}}) == "data"


def test_signal_data_that_grows_beyond_the_limit_when_written_anew_is_refused() -> None:
    numbers = ",".join(["1e15"] * 200_000)
    text = f'{{"type":"signal","to":"p1","data":{{"n":[{numbers}]}}}}'
    assert len(text) < MAX_MESSAGE_BYTES

    assert mistake(text) == "data"


@pytest.mark.parametrize("to", [None, 3, "", "a b"])
def test_the_receiver_of_a_signal_must_be_an_id(to: object) -> None:
    assert mistake({"type": "signal", "to": to, "data": {}}) == "to"


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_FIELDS = ["room", "user_id", "name", "role", "token", "tracks", "to", "data", "sdp"]


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["join", "tracks", "signal", "ping"]) | _ANY_JSON},
        optional=dict.fromkeys(_FIELDS, _ANY_JSON | st.just("publisher")),
    )
)
def test_anything_is_either_read_or_refused_with_a_field(message: dict[str, object]) -> None:
    try:
        parse(json.dumps(message))
    except InvalidField as exc:
        assert exc.path
        assert exc.reason
