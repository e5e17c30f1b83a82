"""The Janus API with the VideoRoom plugin as a subscriber sees it: JSON text to checked values.

Janus passes on what publishers say of themselves, so nothing in here is trusted.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.core.identity import Kind
from worker.rooms.bad_messages import BadMessage

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_FEEDS = 512
MAX_LISTED = 10_000
MAX_STREAMS = 64
MAX_SUBSCRIBED = 1024
MAX_NAME_CHARACTERS = 128
MAX_MID_CHARACTERS = 64
MAX_INTEGER = (1 << 64) - 1

FeedId = int | str
"""A publisher in a room; Janus counts or names them, as its configuration says."""

logger = logging.getLogger(__name__)

_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class FeedStream:
    """One stream of a publisher, as its publisher lists it."""

    mid: str
    kind: Kind
    description: str = ""
    is_simulcast: bool = False


@dataclass(frozen=True, slots=True)
class Feed:
    """A publisher and all of its streams that are live."""

    feed_id: FeedId
    display_name: str
    streams: tuple[FeedStream, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody in a room, publishing or not, as an administrator sees it."""

    feed_id: FeedId
    display_name: str
    is_publisher: bool


@dataclass(frozen=True, slots=True)
class SubscribedStream:
    """One media section of our subscription; without a feed it waits to be used again."""

    mid: str
    feed_id: FeedId | None
    feed_mid: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class JanusMessage:
    """One message of Janus; what it does not carry is empty."""

    kind: str
    """`janus`: success, ack, event, error, webrtcup, hangup, timeout, detached, …"""
    transaction: str | None = None
    handle_id: int | None = None
    created_id: int | None = None
    """The id of a session or handle that was asked for."""
    event: Mapping[str, object] = field(default_factory=dict)
    """What the plugin says."""
    offer: str | None = None
    error_code: int | None = None
    """Of Janus itself or of the plugin."""


def parse_message(text: str) -> JanusMessage:
    """One message of Janus. Raises `BadMessage`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not JSON") from exc
    if not isinstance(document, dict):
        raise BadMessage("not a JSON object")
    kind = document.get("janus")
    if not isinstance(kind, str):
        raise BadMessage("no kind")
    plugin = _object(document.get("plugindata"))
    event = _object(plugin.get("data"))
    error = _object(document.get("error"))
    return JanusMessage(
        kind=kind,
        transaction=_optional_text(document.get("transaction"), 64),
        handle_id=_optional_integer(document.get("sender")),
        created_id=_optional_integer(_object(document.get("data")).get("id")),
        event=event,
        offer=_offer(document.get("jsep")),
        error_code=_optional_integer(error.get("code", event.get("error_code"))),
    )


def feeds(event: Mapping[str, object]) -> tuple[Feed, ...]:
    """The publishers that *event* lists. Raises `BadMessage`.

    One whose entry makes no sense is left out: what it says of itself must not cost the others.
    """
    found = []
    for entry in _objects(event.get("publishers", []), MAX_FEEDS):
        try:
            found.append(_feed(entry))
        except BadMessage as exc:
            logger.debug("a publisher is not recorded: %s", exc)
    return tuple(found)


def participants(event: Mapping[str, object]) -> tuple[Listed, ...]:
    """Everybody in a room, from the answer to `listparticipants`. Raises `BadMessage`."""
    return tuple(
        Listed(
            _feed_id(entry.get("id")),
            _name(entry.get("display")),
            is_publisher=entry.get("publisher") is True,
        )
        for entry in _objects(event.get("participants"), MAX_LISTED)
    )


def rooms_with_people(event: Mapping[str, object]) -> tuple[int | str, ...]:
    """Rooms that are not empty, from the answer to `list`. Raises `BadMessage`."""
    return tuple(
        room
        for entry in _objects(event.get("list"), MAX_LISTED)
        if isinstance(room := entry.get("room"), int | str)
        and isinstance(count := entry.get("num_participants"), int)
        and count > 0
    )


def departed(event: Mapping[str, object]) -> FeedId | None:
    """The publisher that *event* says has left or publishes no more. Raises `BadMessage`.

    Janus says "ok" there when it is ourselves who leave.
    """
    for key in ("leaving", "unpublished"):
        feed_id = event.get(key)
        if feed_id is not None and feed_id != "ok":
            return _feed_id(feed_id)
    return None


def subscribed(event: Mapping[str, object]) -> tuple[SubscribedStream, ...] | None:
    """The media sections of our subscription; None when *event* lists none. Raises `BadMessage`."""
    if event.get("streams") is None:
        return None
    return tuple(_subscribed(entry) for entry in _objects(event["streams"], MAX_SUBSCRIBED))


def _feed(entry: Mapping[str, object]) -> Feed:
    streams = {}
    for listed in _objects(entry.get("streams", []), MAX_STREAMS):
        kind = _KINDS.get(str(listed.get("type")))
        if kind is None or listed.get("disabled") is True:
            continue  # data channels, and streams that were taken away
        mid = _mid(listed.get("mid"))
        streams[mid] = FeedStream(
            mid=mid,
            kind=kind,
            description=_name(listed.get("description")),
            is_simulcast=listed.get("simulcast") is True,
        )
    return Feed(_feed_id(entry.get("id")), _name(entry.get("display")), tuple(streams.values()))


def _subscribed(entry: Mapping[str, object]) -> SubscribedStream:
    feed_id, feed_mid = entry.get("feed_id"), entry.get("feed_mid")
    return SubscribedStream(
        mid=_mid(entry.get("mid")),
        feed_id=None if feed_id is None else _feed_id(feed_id),
        feed_mid=None if feed_mid is None else _mid(feed_mid),
        is_active=entry.get("active", True) is True,
    )


def _offer(jsep: object) -> str | None:
    if jsep is None:
        return None
    description = _object(jsep)
    if description.get("type") != "offer":
        return None
    return _optional_text(description.get("sdp"), MAX_MESSAGE_BYTES)


def _object(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadMessage("no object")
    return value


def _objects(value: object, limit: int) -> Iterable[dict[str, object]]:
    if not isinstance(value, list) or len(value) > limit:
        raise BadMessage("no list, or too long a one")
    return [_object(entry) for entry in value]


def _feed_id(value: object) -> FeedId:
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_NAME_CHARACTERS:
        return value
    if _is_integer(value):
        assert isinstance(value, int)
        return value
    raise BadMessage("no id of a publisher")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER


def _mid(value: object) -> str:
    mid = _optional_text(value, MAX_MID_CHARACTERS)
    if not mid or not mid.isprintable():
        raise BadMessage("no mid")
    return mid


def _name(value: object) -> str:
    """Anybody's choice of words: cut short rather than refused."""
    if not isinstance(value, str):
        return ""
    printable = "".join(letter for letter in value if letter.isprintable())
    return printable[:MAX_NAME_CHARACTERS]


def _optional_text(value: object, limit: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise BadMessage("no text, or too long a one")
    return value


def _optional_integer(value: object) -> int | None:
    if value is None:
        return None
    if not _is_integer(value):
        raise BadMessage("no number")
    assert isinstance(value, int)
    return value
