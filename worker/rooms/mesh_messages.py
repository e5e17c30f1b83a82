"""The test room's protocol as its subscriber sees it: JSON text to checked values and back.

The server passes on what publishers say, so nothing in here is trusted.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from worker.core.identity import Kind, Source
from worker.core.layout.geometry import Size
from worker.rooms.bad_messages import BadMessage

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_PARTICIPANTS = 512
MAX_TRACKS = 64
MAX_NAME_CHARACTERS = 128
_ID = re.compile(r"[!-~]{1,128}")
_KINDS = {kind.value: kind for kind in Kind}
_SOURCES = {source.value: source for source in Source}


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
    resume: str | None = None
    """By which we can take our place again when the connection is lost."""
    is_resumed: bool = False
    """We have our former place: publishers never noticed that we were away."""


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
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not JSON") from exc
    if not isinstance(document, dict):
        raise BadMessage("not a JSON object")
    match document.get("type"):
        case "welcome":
            listed = _list(document.get("participants"), MAX_PARTICIPANTS)
            resume = document.get("resume")
            return Welcome(
                participants=tuple(_readable(listed)),
                resume=None if resume is None else _identifier(resume),
                is_resumed=document.get("resumed") is True,
            )
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


def join_message(
    *, room_id: str, user_id: str, name: str, token: str | None, resume: str | None = None
) -> str:
    """Ask to be let in as somebody who only listens.

    *resume* of an earlier welcome asks for our place of that time.
    """
    document: dict[str, object] = {
        "type": "join",
        "room": room_id,
        "user_id": user_id,
        "name": name,
        "role": "subscriber",
        "resume": resume or "",
    }
    if token is not None:
        document["token"] = token
    return json.dumps(document)


def subscribe_message(peer_id: str, session: str, wanted: Mapping[str, Size] | None = None) -> str:
    """Ask a publisher for an offer on a new session; see `want_message` for *wanted*."""
    if wanted is None:
        return _signal_message(peer_id, kind="subscribe", session=session)
    video = _wanted_json(wanted)
    return _signal_message(peer_id, kind="subscribe", session=session, video=video)


def want_message(peer_id: str, session: str, wanted: Mapping[str, Size]) -> str:
    """Tell a publisher which of its videos, by name, are looked at on a session, and how large.

    The others may be paused; one that is not paused any more must begin with a keyframe.
    """
    return _signal_message(peer_id, kind="want", session=session, video=_wanted_json(wanted))


def answer_message(peer_id: str, session: str, sdp: str) -> str:
    """Answer a publisher's offer."""
    return _signal_message(peer_id, kind="answer", session=session, sdp=sdp)


def close_message(peer_id: str, session: str) -> str:
    """Tell a publisher that a session is over."""
    return _signal_message(peer_id, kind="close", session=session)


def _signal_message(peer_id: str, **data: object) -> str:
    return json.dumps({"type": "signal", "to": peer_id, "data": data})


def _wanted_json(wanted: Mapping[str, Size]) -> dict[str, list[int]]:
    return {name: [size.width, size.height] for name, size in wanted.items()}


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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _readable(listed: list[object]) -> Iterator[ListedParticipant]:
    """Those of a welcome that can be read: one bad entry must not keep us out of the room."""
    for entry in listed:
        try:
            yield _participant(entry)
        except BadMessage:
            logger.warning("a participant is listed in a way that cannot be read")


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
    # JSON can spell half a character; it would fail where it is written, at the job's end.
    return value.encode("utf-8", "replace").decode()
