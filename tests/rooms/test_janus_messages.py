import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.identity import Kind
from worker.rooms.janus_messages import (
    MAX_FEEDS,
    BadMessage,
    Feed,
    FeedStream,
    SubscribedStream,
    departed,
    feeds,
    parse_message,
    subscribed,
)

JOINED: dict[str, Any] = {
    "janus": "event",
    "sender": 17,
    "transaction": "t",
    "plugindata": {
        "plugin": "janus.plugin.videoroom",
        "data": {
            "videoroom": "joined",
            "private_id": 5,
            "publishers": [
                {
                    "id": 8108677161921644,
                    "display": "Ann",
                    "streams": [
                        {"type": "audio", "mid": "0", "codec": "opus", "talking": False},
                        {"type": "video", "mid": "1", "simulcast": True, "description": "camera"},
                        {"type": "video", "mid": "2", "disabled": True},
                        {"type": "data", "mid": "3"},
                    ],
                }
            ],
        },
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def test_a_feed_lists_its_live_audio_and_video_streams() -> None:
    message = parse_message(json.dumps(JOINED))
    assert (message.kind, message.transaction, message.handle_id) == ("event", "t", 17)
    assert feeds(message.event) == (
        Feed(
            8108677161921644,
            "Ann",
            (
                FeedStream("0", Kind.AUDIO),
                FeedStream("1", Kind.VIDEO, description="camera", is_simulcast=True),
            ),
        ),
    )


def test_a_subscription_lists_what_each_media_section_carries() -> None:
    event = {
        "videoroom": "updated",
        "streams": [
            {"mid": "0", "feed_id": "ann", "feed_mid": "1", "type": "video", "active": True},
            {"mid": "1", "type": "video", "active": False},
        ],
    }
    assert subscribed(event) == (
        SubscribedStream("0", "ann", "1", is_active=True),
        SubscribedStream("1", None, None, is_active=False),
    )
    assert subscribed({"videoroom": "updated"}) is None


def test_only_an_offer_counts_as_an_offer() -> None:
    def offer(jsep: object) -> str | None:
        return parse_message(json.dumps({"janus": "event", "jsep": jsep})).offer

    assert offer({"type": "offer", "sdp": "v=0"}) == "v=0"
    assert offer({"type": "answer", "sdp": "v=0"}) is None
    assert offer(None) is None


@pytest.mark.parametrize(
    ("event", "feed_id"),
    [
        ({"leaving": 7}, 7),
        ({"unpublished": "ann"}, "ann"),
        ({"leaving": "ok"}, None),
        ({"unpublished": "ok"}, None),
        ({}, None),
    ],
)
def test_who_has_gone(event: dict[str, object], feed_id: object) -> None:
    assert departed(event) == feed_id


def test_errors_of_janus_and_of_the_plugin_are_told_by_their_code() -> None:
    ours = {"janus": "error", "error": {"code": 458, "reason": "No such session 12"}}
    assert parse_message(json.dumps(ours)).error_code == 458
    plugin = {"janus": "event", "plugindata": {"data": {"error_code": 426, "error": "no room"}}}
    assert parse_message(json.dumps(plugin)).error_code == 426


def test_a_long_or_unprintable_name_is_cut_not_refused() -> None:
    feed = {"id": 1, "display": "a\x00\u202e" + "b" * 1000, "streams": []}
    (parsed,) = feeds({"publishers": [feed]})
    assert parsed.display_name == "a" + "b" * 127


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "1",
        "{}",
        '{"janus": 1}',
        '{"janus": "event", "sender": "x"}',
        '{"janus": "event", "sender": 1e400}',
        '{"janus": "event", "plugindata": []}',
        '{"janus": "error", "error": {"code": true}}',
        "[" * 100_000,
    ],
)
def test_what_is_not_of_the_api_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage):
        parse_message(text)


@pytest.mark.parametrize(
    "publishers",
    [
        {},
        [1],
        [{"id": n} for n in range(MAX_FEEDS + 1)],
    ],
)
def test_a_bad_list_of_publishers_is_a_bad_message(publishers: object) -> None:
    with pytest.raises(BadMessage):
        feeds({"publishers": publishers})


@pytest.mark.parametrize(
    "publisher",
    [
        {"id": True},
        {"id": None},
        {"id": ""},
        {"id": "\ud800"},
        {"id": 1.5},
        {"id": 1 << 70},
        {"id": 1, "streams": [{"type": "video"}]},
        {"id": 1, "streams": [{"type": "video", "mid": "x" * 65}]},
        {"id": 1, "streams": [{"type": "video", "mid": "\ud800"}]},
        {"id": 1, "streams": [{"type": "video", "mid": str(n)} for n in range(65)]},
    ],
)
def test_a_publisher_that_makes_no_sense_costs_the_others_nothing(
    publisher: dict[str, object],
) -> None:
    listed = feeds({"publishers": [publisher, {"id": 7, "display": "Ann"}]})
    assert [feed.feed_id for feed in listed] == [7]


@given(json_values)
def test_whatever_is_json_is_read_or_refused(value: object) -> None:
    document = {"janus": "event", "plugindata": {"data": value}, "jsep": value, "sender": value}
    for candidate in (value, document, {"janus": "event", "plugindata": {"data": value}}):
        try:
            message = parse_message(json.dumps(candidate))
            feeds(message.event)
            subscribed(message.event)
            departed(message.event)
        except BadMessage:
            pass


@given(json_values)
def test_whatever_stands_in_a_list_is_read_or_refused(value: object) -> None:
    for event in ({"publishers": value}, {"publishers": [value]}, {"streams": [value]}):
        try:
            feeds(event)
            subscribed(event)
        except BadMessage:
            pass
