"""The room's messages: JSON text in, checked values out, and back.

A client joins, then says what it publishes, signals to peers and pings. Everything a client
may send is checked here and nowhere else; what peers signal to each other is passed on unread.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NewType, NoReturn

from worker.core.identity import Kind, Source, UserId
from worker.errors import InvalidField

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_TRACKS = 64
MAX_NAME_CHARS = 64
MAX_TOKEN_CHARS = 256
MAX_REMOVED_AT_ONCE = 1000
NEW_PLACE = ""
"""What stands for `Join.resume` in the first join of somebody who may want to come back."""

PeerId = NewType("PeerId", str)
"""One connection to the room, named by the server."""

Json = Mapping[str, object]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRACK_ID = re.compile(r"[!-~]{1,64}")  # browsers put braces and colons into theirs
# Controls, surrogates, line and paragraph separators; joiners stay, scripts and emoji need them.
_NOT_IN_NAMES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_KINDS = {kind.value: kind for kind in Kind}
_SOURCES = {source.value: source for source in Source}
_CARRIED_BY = {
    Source.CAMERA: (Kind.VIDEO,),
    Source.MICROPHONE: (Kind.AUDIO,),
    Source.SCREEN: (Kind.AUDIO, Kind.VIDEO),
}


class Role(Enum):
    """Whether the others are told of a peer: a subscriber only listens, as recorders do."""

    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"


_ROLES = {role.value: role for role in Role}


class Removal(IntEnum):
    """Why somebody is put out, as clients of the API are told (API reference 3.7)."""

    REMOVED = 9
    DISMISSED = 10


@dataclass(frozen=True, slots=True)
class PublishedTrack:
    """One track as its publisher lists it; `track` is unique within the participant."""

    track: str
    kind: Kind
    source: Source
    muted: bool


@dataclass(frozen=True, slots=True)
class Join:
    """The first message of every connection."""

    room: str
    user_id: UserId
    name: str
    role: Role
    token: str | None = None
    resume: str | None = None
    """The secret of an earlier welcome, to take one's former place, or `NEW_PLACE`. Who leaves it
    out has no place to come back to: its connection's end is its leaving."""


@dataclass(frozen=True, slots=True)
class Publish:
    """The complete list of the sender's tracks (`tracks`)."""

    tracks: tuple[PublishedTrack, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something for one peer; `data` is JSON text, passed on as it is."""

    to: PeerId
    data: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `pong`."""


Message = Join | Publish | Signal | Ping


def parse(text: str) -> Message:
    """The message in *text*; unknown keys are ignored. Raises `InvalidField` naming the field."""
    document = _document(text)
    match document.get("type"):
        case "join":
            return _join(document)
        case "tracks":
            return Publish(_tracks(document.get("tracks")))
        case "signal":
            return Signal(PeerId(_identifier(document, "to")), _data(document.get("data")))
        case "ping":
            return Ping()
    raise InvalidField("type", "must be join, tracks, signal or ping")


def parse_user_ids(text: str) -> frozenset[UserId]:
    """Whom an administrator removes, `{"user_ids": []}`. Raises `InvalidField`."""
    listed = _document(text).get("user_ids")
    if not isinstance(listed, list) or len(listed) > MAX_REMOVED_AT_ONCE:
        raise InvalidField("user_ids", f"must be a list of at most {MAX_REMOVED_AT_ONCE}")
    if not all(isinstance(user_id, str) for user_id in listed):
        raise InvalidField("user_ids", "must be text, each")
    return frozenset(map(UserId, listed))


def encode_removal(removal: Removal) -> str:
    """What somebody is told who is put out; the connection's end follows."""
    return encode({"type": "removed", "code": removal.value})


def encode(message: Json) -> str:
    """*message* as compact JSON text. Raises ValueError when it is not Unicode text."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text.encode()  # a lone surrogate would fail only while it is being sent to somebody else
    return text


def encode_signal(sender: PeerId, data: str) -> str:
    """A signal as its receiver gets it; *data* is JSON text from `Signal`."""
    return f'{{"type":"signal","from":{json.dumps(sender)},"data":{data}}}'


def track_json(track: PublishedTrack) -> dict[str, object]:
    """*track* as it stands in a list of tracks."""
    return {
        "track": track.track,
        "kind": track.kind.value,
        "source": track.source.value,
        "muted": track.muted,
    }


def tracks_json(tracks: Iterable[PublishedTrack]) -> Sequence[dict[str, object]]:
    """A list of tracks as it stands in messages."""
    return [track_json(track) for track in tracks]


def _document(text: str) -> Json:
    try:
        document = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as exc:
        raise InvalidField("message", "is not JSON") from exc
    if not isinstance(document, dict):
        raise InvalidField("message", "must be a JSON object")
    return document


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _join(document: Json) -> Join:
    return Join(
        room=_identifier(document, "room"),
        user_id=UserId(_identifier(document, "user_id")),
        name=_name(document),
        role=_role(document),
        token=_token(document.get("token"), "token"),
        resume=_token(document.get("resume"), "resume"),
    )


def _role(document: Json) -> Role:
    role = _ROLES.get(_text(document, "role"))
    if role is None:
        raise InvalidField("role", "must be publisher or subscriber")
    return role


def _token(token: object, key: str) -> str | None:
    if token is None or (isinstance(token, str) and len(token) <= MAX_TOKEN_CHARS):
        return token
    raise InvalidField(key, f"must be text of at most {MAX_TOKEN_CHARS} characters")


def _tracks(listed: object) -> tuple[PublishedTrack, ...]:
    if not isinstance(listed, list):
        raise InvalidField("tracks", "must be a list")
    if len(listed) > MAX_TRACKS:
        raise InvalidField("tracks", f"more than {MAX_TRACKS} tracks")
    tracks = tuple(_track(entry, f"tracks[{index}]") for index, entry in enumerate(listed))
    seen: set[str] = set()
    for index, track in enumerate(tracks):
        if track.track in seen:
            raise InvalidField(f"tracks[{index}].track", "is in the list twice")
        seen.add(track.track)
    return tracks


def _track(entry: object, path: str) -> PublishedTrack:
    if not isinstance(entry, dict):
        raise InvalidField(path, "must be an object")
    track = entry.get("track")
    if not isinstance(track, str) or not _TRACK_ID.fullmatch(track):
        raise InvalidField(f"{path}.track", "must be 1 to 64 printable ASCII characters")
    kind = _KINDS.get(_text(entry, "kind", path))
    if kind is None:
        raise InvalidField(f"{path}.kind", "must be audio or video")
    source = _SOURCES.get(_text(entry, "source", path))
    if source is None:
        raise InvalidField(f"{path}.source", "must be camera, microphone or screen")
    if kind not in _CARRIED_BY[source]:
        raise InvalidField(f"{path}.source", f"a {source.value} has no {kind.value}")
    muted = entry.get("muted")
    if not isinstance(muted, bool):
        raise InvalidField(f"{path}.muted", "must be true or false")
    return PublishedTrack(track, kind, source, muted)


def _data(data: object) -> str:
    if not isinstance(data, dict):
        raise InvalidField("data", "must be an object")
    try:
        text = encode(data)
    except (ValueError, RecursionError) as exc:
        raise InvalidField("data", "is not plain JSON of Unicode text") from exc
    # Numbers grow when they are written anew (1e9 becomes 1000000000.0): without this check one
    # peer could send another more than it accepts, and have it disconnected.
    if len(text.encode()) > MAX_MESSAGE_BYTES - 256:
        raise InvalidField("data", "is too large")
    return text


def _text(document: Json, key: str, path: str = "") -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidField(f"{path}.{key}" if path else key, "must be text")
    return value


def _identifier(document: Json, key: str) -> str:
    value = _text(document, key)
    if not _ID.fullmatch(value):
        raise InvalidField(key, "must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
    return value


def _name(document: Json) -> str:
    name = _text(document, "name").strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise InvalidField("name", f"must have 1 to {MAX_NAME_CHARS} characters")
    if any(unicodedata.category(character) in _NOT_IN_NAMES for character in name):
        raise InvalidField("name", "must not contain control characters")
    return name
