"""Who is in the room and what they publish: the one mutable picture of it, with one owner."""

from dataclasses import dataclass, field

from worker.core.identity import Kind, Participant, ParticipantId, Source, Track, TrackId, UserId
from worker.core.slots import GallerySlots


@dataclass(frozen=True, slots=True)
class ScreenShare:
    """A screen on offer for the stage."""

    user_id: UserId
    track_id: TrackId


@dataclass(slots=True, eq=False)
class _Presence:
    participant: Participant
    has_published: bool = False
    tracks: dict[TrackId, Track] = field(default_factory=dict)
    """In publishing order."""


@dataclass(slots=True)
class _User:
    """Everything known of one user; presences oldest first, at least one."""

    presences: list[_Presence] = field(default_factory=list)
    shown: bool = False

    @property
    def owner(self) -> _Presence:
        """The presence behind the tile: the newest that published, else the newest."""
        return max(reversed(self.presences), key=lambda presence: presence.has_published)


class Roster:
    """Participants and tracks, kept by user; fed with the room's events in their order.

    A user is *shown* from its first published track until its last presence leaves. A user who
    is present twice (a re-join before the old presence timed out) has one tile, and the newest
    presence that published owns it: join order and slot stay, tracks of the older presence count
    no more, and its late leave changes nothing.

    Events about a participant or track that is not here come late and are ignored; repeated ones
    (a room lists everybody again after a reconnect) change nothing.
    """

    def __init__(self) -> None:
        self._users: dict[UserId, _User] = {}  # in join order
        self._presences: dict[ParticipantId, _Presence] = {}
        self._tracks: dict[TrackId, Track] = {}
        self._screens: dict[TrackId, Track] = {}  # in publishing order
        self._muted: set[TrackId] = set()
        self._gallery = GallerySlots()

    # --- events -----------------------------------------------------------------------------

    def join(self, participant: Participant) -> None:
        """Somebody is there; a repeated join may bring a new display name."""
        known = self._presences.get(participant.participant_id)
        if known is not None and known.participant.user_id == participant.user_id:
            known.participant = participant
            return
        if known is not None:
            self.leave(participant.participant_id)
        presence = _Presence(participant)
        self._presences[participant.participant_id] = presence
        self._users.setdefault(participant.user_id, _User()).presences.append(presence)

    def leave(self, participant_id: ParticipantId) -> None:
        """A presence is gone, and its tracks with it."""
        presence = self._presences.pop(participant_id, None)
        if presence is None:
            return
        for track_id in list(presence.tracks):
            self._forget(presence, track_id)
        user_id = presence.participant.user_id
        user = self._users[user_id]
        user.presences.remove(presence)
        if not user.presences:
            del self._users[user_id]
            if user.shown:
                self._gallery.leave(user_id)

    def publish(self, track: Track) -> None:
        """A track is there, not muted; the first one brings its user on the canvas."""
        presence = self._presences.get(track.participant_id)
        if presence is None or self._tracks.get(track.track_id) == track:
            return
        self.unpublish(track.track_id)
        self._tracks[track.track_id] = presence.tracks[track.track_id] = track
        if track.kind is Kind.VIDEO and track.source is Source.SCREEN:
            self._screens[track.track_id] = track
        presence.has_published = True
        user_id = presence.participant.user_id
        user = self._users[user_id]
        if not user.shown:
            user.shown = True
            self._gallery.enter(user_id)

    def unpublish(self, track_id: TrackId) -> None:
        """A track is gone; its user stays."""
        track = self._tracks.get(track_id)
        if track is not None:
            self._forget(self._presences[track.participant_id], track_id)

    def mute(self, track_id: TrackId, muted: bool) -> None:
        """A publisher muted or unmuted a track."""
        if muted and track_id in self._tracks:
            self._muted.add(track_id)
        else:
            self._muted.discard(track_id)

    # --- queries ----------------------------------------------------------------------------

    def users(self) -> tuple[UserId, ...]:
        """The shown users in join order."""
        return tuple(user_id for user_id, user in self._users.items() if user.shown)

    def is_shown(self, user_id: UserId) -> bool:
        user = self._users.get(user_id)
        return user is not None and user.shown

    def gallery_slots(self) -> tuple[UserId | None, ...]:
        """Who sits where: one entry per tile of the grid, row by row."""
        return self._gallery.slots

    def label(self, user_id: UserId) -> str:
        """The name to write on the tile of a user who is here: the display name, else the id."""
        return self._users[user_id].owner.participant.display_name.strip() or user_id

    def video(self, user_id: UserId, source: Source) -> TrackId | None:
        """The newest video the user publishes from *source*, unless there is none unmuted."""
        user = self._users.get(user_id)
        if user is None:
            return None
        return next(
            (
                track.track_id
                for track in reversed(user.owner.tracks.values())
                if track.kind is Kind.VIDEO
                and track.source is source
                and track.track_id not in self._muted
            ),
            None,
        )

    def screen_share(self) -> ScreenShare | None:
        """The newest screen on offer; when it ends or is muted, the one before it."""
        for track in reversed(self._screens.values()):
            user_id = self._owner(track)
            if user_id is not None and track.track_id not in self._muted:
                return ScreenShare(user_id, track.track_id)
        return None

    def _owner(self, track: Track) -> UserId | None:
        """The user whose tile *track* may fill; None for a track of a superseded presence."""
        presence = self._presences[track.participant_id]
        user_id = presence.participant.user_id
        return user_id if self._users[user_id].owner is presence else None

    def _forget(self, presence: _Presence, track_id: TrackId) -> None:
        del self._tracks[track_id], presence.tracks[track_id]
        self._screens.pop(track_id, None)
        self._muted.discard(track_id)
