"""Rooms and who is in them: messages in, deliveries out. Pure, so its rules read as tests.

Media never comes here: every subscriber connects to every publisher, and the lobby only says
who is there and passes their signals on.
"""

import hmac
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from worker.core.identity import UserId
from worker.errors import InvalidField, RoomRefused
from worker.testroom.protocol import (
    Join,
    Json,
    PeerId,
    Publish,
    PublishedTrack,
    Role,
    Signal,
    encode,
    encode_signal,
    tracks_json,
)

MAX_ROOMS = 64
MAX_PARTICIPANTS = 100
MAX_RECORDERS = 16
"""Counted apart from the participants, so that a full room can still be recorded."""
MAX_REMOVED = 256
"""So many who were put out are remembered; of more the oldest are forgotten."""
_LIMITS = {Role.PUBLISHER: MAX_PARTICIPANTS, Role.SUBSCRIBER: MAX_RECORDERS}


@dataclass(frozen=True, slots=True)
class Peer:
    """One connection that has joined."""

    peer_id: PeerId
    room: str
    user_id: UserId
    name: str
    role: Role
    resume: str | None = None
    """The secret by which it may come back; None: its place is not kept."""
    tracks: tuple[PublishedTrack, ...] = ()

    def listing(self) -> Json:
        """The peer as others see it."""
        return {
            "id": self.peer_id,
            "user_id": self.user_id,
            "name": self.name,
            "tracks": tracks_json(self.tracks),
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for some peers."""

    to: tuple[PeerId, ...]
    text: str
    is_lasting: bool = False
    """Worth keeping for a peer that is away; of all else its next welcome is the sum."""


class Lobby:
    """All rooms of one server. A room begins with its first peer and ends with its last."""

    def __init__(self, *, token: str | None = None) -> None:
        self._token = token
        self._rooms: dict[str, dict[PeerId, Peer]] = {}
        self._room_of: dict[PeerId, str] = {}
        self._away: dict[PeerId, None] = {}
        """Whose connection has vanished, the longest away first."""
        self._removed: deque[str] = deque(maxlen=MAX_REMOVED)
        """By what those who were put out could have come back."""

    def former(self, join: Join) -> PeerId | None:
        """The peer in whose place *join* may go on.

        Raises `RoomRefused` for a wrong token, and for who was put out and has not noticed.
        """
        self._check_token(join)
        if not join.resume:
            return None
        if any(_same(join.resume, removed) for removed in self._removed):
            raise RoomRefused("resume: you were removed from the room")
        for peer in self._rooms.get(join.room, {}).values():
            if peer.resume is not None and _same(join.resume, peer.resume):
                is_same = peer.user_id == join.user_id and peer.role is join.role
                return peer.peer_id if is_same else None
        return None

    def superseded(self, join: Join) -> Sequence[PeerId]:
        """Who must leave before *join*: the same user's places that nobody has come back to.

        In a full room also who is away the longest. Raises `RoomRefused` for a wrong token.
        """
        self._check_token(join)
        room = self._rooms.get(join.room, {})
        away = [peer for peer_id in self._away if (peer := room.get(peer_id)) is not None]
        alike = [peer for peer in away if peer.role is join.role]
        gone = [peer.peer_id for peer in alike if peer.user_id == join.user_id]
        if not gone and _count(room.values(), join.role) >= _LIMITS[join.role]:
            gone = [peer.peer_id for peer in alike[:1]]
        return gone

    def join(self, peer_id: PeerId, join: Join, *, resume: str | None = None) -> Sequence[Delivery]:
        """Let *peer_id* in. A user may be there more than once, the newest presence last.

        *resume* is the secret by which it may take its place again. Raises `RoomRefused` for a
        wrong token and when there is no room left.
        """
        self._admit(join)
        room = self._rooms.setdefault(join.room, {})
        others = tuple(room)
        peer = Peer(peer_id, join.room, join.user_id, join.name, join.role, resume)
        deliveries = [self._welcome(peer, is_resumed=False)]
        room[peer_id] = peer
        self._room_of[peer_id] = join.room
        if peer.role is Role.PUBLISHER:
            deliveries.append(_message(others, type="joined", participant=peer.listing()))
            deliveries.append(_recorders((peer_id,), room.values()))
        else:
            deliveries.append(_recorders(tuple(room), room.values()))
        return deliveries

    def vanish(self, peer_id: PeerId) -> None:
        """The connection of *peer_id* is gone. Nobody is told, its place is kept."""
        self._away[peer_id] = None

    def resume(self, peer_id: PeerId) -> Sequence[Delivery]:
        """*peer_id* is back: what it may have missed."""
        self._away.pop(peer_id, None)
        room = self._room(peer_id)
        welcome = self._welcome(room[peer_id], is_resumed=True)
        return [welcome, _recorders((peer_id,), room.values())]

    def publish(self, peer_id: PeerId, publish: Publish) -> Sequence[Delivery]:
        """Take the new list of *peer_id*'s tracks. Raises `InvalidField` for a subscriber."""
        room = self._room(peer_id)
        peer = room[peer_id]
        if peer.role is Role.SUBSCRIBER:
            raise InvalidField("type", "a subscriber has no tracks")
        room[peer_id] = replace(peer, tracks=publish.tracks)
        tracks = tracks_json(publish.tracks)
        return [_message(_others(room, peer_id), type="tracks", id=peer_id, tracks=tracks)]

    def relay(self, sender: PeerId, signal: Signal) -> Sequence[Delivery]:
        """Pass *signal* on; nothing when its receiver is not in the room (it may just have left).

        Raises `InvalidField` when a peer signals to itself.
        """
        if signal.to == sender:
            raise InvalidField("to", "is yourself")
        if signal.to not in self._room(sender):
            return []
        return [Delivery((signal.to,), encode_signal(sender, signal.data), is_lasting=True)]

    def leave(self, peer_id: PeerId) -> Sequence[Delivery]:
        """Forget *peer_id*. Publishers are told of a subscriber too: they free its connection."""
        room = self._room(peer_id)
        peer = room.pop(peer_id)
        del self._room_of[peer_id]
        self._away.pop(peer_id, None)
        if not room:
            del self._rooms[peer.room]
            return []
        if peer.role is Role.PUBLISHER:
            return [_left(tuple(room), peer_id)]
        publishers = tuple(p.peer_id for p in room.values() if p.role is Role.PUBLISHER)
        return [
            _left(publishers, peer_id),
            _recorders(tuple(room), room.values()),
        ]

    def users(self, room: str, user_ids: Collection[UserId] | None = None) -> Sequence[PeerId]:
        """Every presence of *user_ids*, by default of everybody. Recorders are nobody's users."""
        return [
            peer.peer_id
            for peer in self._rooms.get(room, {}).values()
            if peer.role is Role.PUBLISHER and (user_ids is None or peer.user_id in user_ids)
        ]

    def remove(self, peer_id: PeerId) -> Sequence[Delivery]:
        """Put *peer_id* out. It may come back, but not into its place as if nothing had been."""
        resume = self._room(peer_id)[peer_id].resume
        if resume is not None:
            self._removed.append(resume)
        return self.leave(peer_id)

    def listing(self) -> Json:
        """Who is where; of a user who is in a room more than once the newest presence."""
        return {
            "rooms": [
                {
                    "room": name,
                    "participants": [peer.listing() for peer in _newest(room.values())],
                    "recorders": _count(room.values(), Role.SUBSCRIBER),
                }
                for name, room in self._rooms.items()
            ]
        }

    def _welcome(self, peer: Peer, *, is_resumed: bool) -> Delivery:
        others = self._rooms[peer.room].values()
        participants = [
            other.listing()
            for other in others
            if other.role is Role.PUBLISHER and other.peer_id != peer.peer_id
        ]
        message: dict[str, object] = {
            "type": "welcome",
            "id": peer.peer_id,
            "participants": participants,
        }
        if peer.resume is not None:
            message |= {"resume": peer.resume, "resumed": is_resumed}
        return _message((peer.peer_id,), **message)

    def _check_token(self, join: Join) -> None:
        if self._token is not None and not _same(join.token or "", self._token):
            raise RoomRefused("token: missing or wrong")

    def _admit(self, join: Join) -> None:
        self._check_token(join)
        room = self._rooms.get(join.room)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                raise RoomRefused(f"room: there are {MAX_ROOMS} rooms already")
            return
        limit = _LIMITS[join.role]
        if _count(room.values(), join.role) >= limit:
            raise RoomRefused(f"room: is full with {limit} {join.role.value}s")

    def _room(self, peer_id: PeerId) -> dict[PeerId, Peer]:
        return self._rooms[self._room_of[peer_id]]


def _message(to: tuple[PeerId, ...], **message: object) -> Delivery:
    return Delivery(to, encode(message))


def _left(to: tuple[PeerId, ...], peer_id: PeerId) -> Delivery:
    """Lasting, because no list tells a publisher which of its subscribers are gone."""
    return Delivery(to, encode({"type": "left", "id": peer_id}), is_lasting=True)


def _recorders(to: tuple[PeerId, ...], peers: Iterable[Peer]) -> Delivery:
    return _message(to, type="recorders", count=_count(peers, Role.SUBSCRIBER))


def _count(peers: Iterable[Peer], role: Role) -> int:
    return sum(peer.role is role for peer in peers)


def _others(room: Iterable[PeerId], peer_id: PeerId) -> tuple[PeerId, ...]:
    return tuple(other for other in room if other != peer_id)


def _newest(peers: Iterable[Peer]) -> Iterable[Peer]:
    return {peer.user_id: peer for peer in peers if peer.role is Role.PUBLISHER}.values()


def _same(given: str, expected: str) -> bool:
    """Compares in a time that does not tell how much of *given* was right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
