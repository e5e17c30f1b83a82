"""The test room's protocol as its subscriber sees it: JSON text to checked values and back.

The server passes on what publishers say, so nothing in here is trusted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.identity import Kind, Source
from worker.errors import RoomError

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_PARTICIPANTS = 512
MAX_TRACKS = 64
MAX_NAME_CHARACTERS = 128
_ID = re.compile(r"[!-~]{1,128}")
_KINDS = {kind.value: kind for kind in Kind}
_SOURCES = {source.value: source for source in Source}


class BadMessage(RoomError):
    """A message that is not of the protocol; it is ignored and counted."""

    code = "bad_message"


@dataclass(frozen=True, slots=True)
class ListedTrack:
    """A track as its publisher lists it; `name` is unique within the participant."""

    name: str
    kind: Kind
    source: Source
    is_muted: bool


@dataclass(frozen=True, slots=True)
class ListedParticipant:
    peer_id: str
    user_id: str
    display_name: str
    tracks: tuple[ListedTrack, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    participants: tuple[ListedParticipant, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Joined:
    participant: ListedParticipant


@dataclass(frozen=True, slots=True)
class Left:
    peer_id: str


@dataclass(frozen=True, slots=True)
class TracksChanged:
    peer_id: str
    tracks: tuple[ListedTrack, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A publisher offers media on a session we asked for, or changes it."""

    peer_id: str
    session: str
    sdp: str
    tracks: Mapping[str, str]
    """MID to the track's name."""


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A publisher ended a session of ours."""

    peer_id: str
    session: str


@dataclass(frozen=True, slots=True)
class Unconcerned:
    """A message of the protocol that is not for a subscriber, or of a newer version of it."""


Message = Welcome | Refused | Joined | Left | TracksChanged | Offer | SessionClosed | Unconcerned


def parse_message(text: str) -> Message:
    """One message of the server. Raises `BadMessage`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not JSON") from exc
    if not isinstance(document, dict):
        raise BadMessage("not a JSON object")
    match document.get("type"):
        case "welcome":
            listed = _list(document.get("participants"), MAX_PARTICIPANTS)
            return Welcome(tuple(_participant(entry) for entry in listed))
        case "refused":
            return Refused(_text(document.get("reason"), 512))
        case "joined":
            return Joined(_participant(document.get("participant")))
        case "left":
            return Left(_identifier(document.get("id")))
        case "tracks":
            return TracksChanged(_identifier(document.get("id")), _tracks(document.get("tracks")))
        case "signal":
            return _signal(_identifier(document.get("from")), document.get("data"))
        case str():
            return Unconcerned()
    raise BadMessage("no type")


def join_message(*, room_id: str, user_id: str, name: str, token: str | None) -> str:
    """Ask to be let in as somebody who only listens."""
    document: dict[str, object] = {
        "type": "join",
        "room": room_id,
        "user_id": user_id,
        "name": name,
        "role": "subscriber",
    }
    if token is not None:
        document["token"] = token
    return json.dumps(document)


def subscribe_message(peer_id: str, session: str) -> str:
    """Ask a publisher for an offer on a new session."""
    return _signal_message(peer_id, kind="subscribe", session=session)


def answer_message(peer_id: str, session: str, sdp: str) -> str:
    """Answer a publisher's offer."""
    return _signal_message(peer_id, kind="answer", session=session, sdp=sdp)


def close_message(peer_id: str, session: str) -> str:
    """Tell a publisher that a session is over."""
    return _signal_message(peer_id, kind="close", session=session)


def _signal_message(peer_id: str, **data: str) -> str:
    return json.dumps({"type": "signal", "to": peer_id, "data": data})


def _signal(peer_id: str, data: object) -> Message:
    if not isinstance(data, dict):
        raise BadMessage("signal without data")
    if data.get("kind") == "offer":
        tracks = data.get("mids")
        if not isinstance(tracks, dict) or len(tracks) > MAX_TRACKS:
            raise BadMessage("offer without a table of MIDs")
        return Offer(
            peer_id=peer_id,
            session=_identifier(data.get("session")),
            sdp=_text(data.get("sdp"), MAX_MESSAGE_BYTES),
            tracks={_identifier(mid): _identifier(name) for mid, name in tracks.items()},
        )
    if data.get("kind") == "close":
        return SessionClosed(peer_id, _identifier(data.get("session")))
    return Unconcerned()


def _participant(entry: object) -> ListedParticipant:
    if not isinstance(entry, dict):
        raise BadMessage("participant is not an object")
    return ListedParticipant(
        peer_id=_identifier(entry.get("id")),
        user_id=_identifier(entry.get("user_id")),
        display_name=_text(entry.get("name"), MAX_MESSAGE_BYTES)[:MAX_NAME_CHARACTERS],
        tracks=_tracks(entry.get("tracks")),
    )


def _tracks(entries: object) -> tuple[ListedTrack, ...]:
    tracks = {}
    for entry in _list(entries, MAX_TRACKS):
        if not isinstance(entry, dict):
            raise BadMessage("track is not an object")
        kind = _KINDS.get(_text(entry.get("kind"), 16))
        source = _SOURCES.get(_text(entry.get("source"), 16))
        is_muted = entry.get("muted")
        if kind is None or source is None or not isinstance(is_muted, bool):
            raise BadMessage("track of no known kind")
        name = _identifier(entry.get("track"))
        tracks[name] = ListedTrack(name, kind, source, is_muted)
    return tuple(tracks.values())


def _list(value: object, limit: int) -> list[object]:
    if not isinstance(value, list) or len(value) > limit:
        raise BadMessage("no list, or too long a one")
    return value


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadMessage("no identifier")
    return value


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise BadMessage("no text, or too long a one")
    return value
