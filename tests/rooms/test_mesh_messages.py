import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.identity import Kind, Source
from worker.core.layout.geometry import Size
from worker.rooms.mesh_messages import (
    BadMessage,
    Joined,
    Left,
    ListedParticipant,
    ListedTrack,
    Offer,
    Refused,
    SessionClosed,
    TracksChanged,
    Unconcerned,
    Welcome,
    answer_message,
    join_message,
    parse_message,
    subscribe_message,
    want_message,
)

TRACK = {"track": "{a-b}", "kind": "video", "source": "camera", "muted": False}
ALICE = {"id": "p1", "user_id": "alice", "name": "Alice", "tracks": [TRACK]}
LISTED = ListedParticipant(
    "p1", "alice", "Alice", (ListedTrack("{a-b}", Kind.VIDEO, Source.CAMERA, False),)
)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "welcome", "id": "me", "participants": [ALICE]}, Welcome((LISTED,))),
        (
            {"type": "welcome", "id": "me", "participants": [], "resume": "s", "resumed": True},
            Welcome((), "s", is_resumed=True),
        ),
        ({"type": "refused", "reason": "full"}, Refused("full")),
        ({"type": "joined", "participant": ALICE}, Joined(LISTED)),
        ({"type": "left", "id": "p1"}, Left("p1")),
        ({"type": "tracks", "id": "p1", "tracks": [TRACK]}, TracksChanged("p1", LISTED.tracks)),
        (
            {
                "type": "signal",
                "from": "p1",
                "data": {"kind": "offer", "session": "s", "sdp": "v=0", "mids": {"0": "{a-b}"}},
            },
            Offer("p1", "s", "v=0", {"0": "{a-b}"}),
        ),
        (
            {"type": "signal", "from": "p1", "data": {"kind": "close", "session": "s"}},
            SessionClosed("p1", "s"),
        ),
        ({"type": "signal", "from": "p1", "data": {"kind": "subscribe"}}, Unconcerned()),
        ({"type": "recorders", "count": 1}, Unconcerned()),
        ({"type": "pong"}, Unconcerned()),
    ],
)
def test_every_message_of_the_protocol_is_understood(document: object, message: object) -> None:
    assert parse_message(json.dumps(document)) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"type": 5}',
        "[" * 100_000,
        '{"type": "welcome"}',
        '{"type": "left", "id": "p1", "x": NaN}',
        '{"type": "left", "id": "p1", "x": -Infinity}',
        '{"type": "left", "id": "p1", "x": ' + "9" * 5000 + "}",
        '{"type": "welcome", "participants": [], "resume": 5}',
        '{"type": "left", "id": ""}',
        '{"type": "left", "id": "a b"}',
        '{"type": "left", "id": {}}',
        '{"type": "signal", "from": "p1", "data": []}',
        '{"type": "signal", "from": "p1", "data": {"kind": "offer", "session": "s", "sdp": "x"}}',
        json.dumps({"type": "tracks", "id": "p1", "tracks": [{**TRACK, "kind": ["video"]}]}),
        json.dumps({"type": "tracks", "id": "p1", "tracks": [{**TRACK, "source": "scanner"}]}),
        json.dumps({"type": "tracks", "id": "p1", "tracks": [{**TRACK, "muted": 1}]}),
        json.dumps({"type": "tracks", "id": "p1", "tracks": [TRACK] * 65}),
        json.dumps({"type": "welcome", "participants": [ALICE] * 513}),
        json.dumps({"type": "joined", "participant": {**ALICE, "user_id": "x" * 129}}),
    ],
)
def test_what_is_not_of_the_protocol_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parse_message(text)


def test_one_unreadable_participant_does_not_keep_us_out() -> None:
    listed = [5, {**ALICE, "id": ""}, ALICE, {**ALICE, "tracks": "x"}]
    message = parse_message(json.dumps({"type": "welcome", "participants": listed}))
    assert message == Welcome((LISTED,))


def test_half_a_character_in_a_name_does_not_reach_the_result() -> None:
    message = parse_message(
        json.dumps({"type": "joined", "participant": {**ALICE, "name": "A\ud800da"}})
    )
    assert isinstance(message, Joined)
    assert message.participant.display_name == "A?da"


def test_a_track_listed_twice_counts_once_and_long_names_are_cut() -> None:
    message = parse_message(
        json.dumps({"type": "joined", "participant": {**ALICE, "name": "x" * 1000}})
    )
    assert isinstance(message, Joined)
    assert len(message.participant.display_name) == 128
    tracks = parse_message(json.dumps({"type": "tracks", "id": "p1", "tracks": [TRACK, TRACK]}))
    assert tracks == TracksChanged("p1", LISTED.tracks)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["offer", "video", "p1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "kind", "session", "tracks", "track", "mids", "sdp", "data"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["welcome", "refused", "joined", "left", "tracks", "signal", "x"]),
    st.dictionaries(
        st.sampled_from(["id", "participants", "participant", "tracks", "from", "data", "reason"]),
        _JSON,
    ),
)
def test_any_document_is_understood_or_refused(kind: str, body: dict[str, object]) -> None:
    try:
        parse_message(json.dumps({"type": kind, **body}))
    except BadMessage:
        pass


def test_our_own_messages_have_the_agreed_form() -> None:
    assert json.loads(join_message(room_id="r", user_id="u", name="n", token=None)) == {
        "type": "join",
        "room": "r",
        "user_id": "u",
        "name": "n",
        "role": "subscriber",
        "resume": "",
    }
    again = join_message(room_id="r", user_id="u", name="n", token="t", resume="s")
    assert json.loads(again)["token"] == "t"
    assert json.loads(again)["resume"] == "s"
    assert json.loads(subscribe_message("p1", "s")) == {
        "type": "signal",
        "to": "p1",
        "data": {"kind": "subscribe", "session": "s"},
    }
    wanted = {"{a-b}": Size(320, 180)}
    video = {"{a-b}": [320, 180]}
    assert json.loads(subscribe_message("p1", "s", wanted))["data"]["video"] == video
    assert json.loads(subscribe_message("p1", "s", {}))["data"]["video"] == {}
    assert json.loads(want_message("p1", "s", wanted))["data"] == {
        "kind": "want",
        "session": "s",
        "video": video,
    }
    assert json.loads(answer_message("p1", "s", "v=0"))["data"] == {
        "kind": "answer",
        "session": "s",
        "sdp": "v=0",
    }
