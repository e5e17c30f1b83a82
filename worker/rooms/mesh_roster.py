"""Who is in the test room: the server's messages become events and subscriptions."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.core.identity import Participant, ParticipantId, Track, TrackId, UserId
from worker.core.timing import NS_PER_S
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomListener,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)
from worker.rooms.mesh_messages import (
    MAX_PARTICIPANTS,
    Joined,
    Left,
    ListedParticipant,
    ListedTrack,
    Message,
    Offer,
    SessionClosed,
    TracksChanged,
    Welcome,
)
from worker.rooms.subscription import Subscription

logger = logging.getLogger(__name__)

LINGER_NS = 15 * NS_PER_S
"""After a server has forgotten everybody: longer than publishers wait between two attempts."""


@dataclass(slots=True)
class _Member:
    participant: Participant
    subscription: Subscription
    task: asyncio.Task[None]
    lingers_until_ns: int | None = None
    """Set while it is in no list but its media goes on."""


class Roster:
    """The publishers in the room, each with a subscription of its own."""

    def __init__(
        self,
        *,
        listener: RoomListener,
        subscribe: Callable[[ParticipantId], Subscription],
        tasks: asyncio.TaskGroup,
        clock_ns: Callable[[], int],
    ) -> None:
        """*subscribe* makes the subscription to one publisher, *tasks* runs it."""
        self._clock_ns = clock_ns
        self._listener = listener
        self._subscribe = subscribe
        self._tasks = tasks
        self._members: dict[str, _Member] = {}

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """One per publisher in the room."""
        return [member.subscription for member in self._members.values()]

    def take(self, message: Message) -> None:
        """Apply one message of the server."""
        match message:
            case Welcome(participants, is_resumed=is_resumed):
                self._replace_all(participants, is_resumed=is_resumed)
            case Joined(participant):
                self._put(participant)
            case Left(peer_id):
                self._remove(peer_id)
            case TracksChanged(peer_id, tracks):
                if peer_id in self._members:
                    self._set_tracks(self._members[peer_id], tracks)
            case Offer(peer_id):
                if peer_id in self._members:
                    self._members[peer_id].subscription.receive_offer(message)
            case SessionClosed(peer_id, session):
                if peer_id in self._members:
                    self._members[peer_id].subscription.receive_close(session)

    @property
    def is_calm(self) -> bool:
        """Who lingers is in no hurry to go."""
        return True

    def poll(self, now_ns: int) -> None:
        """Let those go who lingered: their media ended, or their time, or they are back."""
        lingering = [
            (peer_id, member)
            for peer_id, member in self._members.items()
            if member.lingers_until_ns is not None
        ]
        for peer_id, member in lingering:
            assert member.lingers_until_ns is not None
            if (
                now_ns > member.lingers_until_ns
                or not member.subscription.is_receiving(now_ns)
                or self._is_back(member, now_ns)
            ):
                self._remove(peer_id)

    def cancel(self) -> None:
        """Cancel every subscription; their task group waits for them."""
        for member in self._members.values():
            member.task.cancel()

    def _replace_all(self, participants: Iterable[ListedParticipant], *, is_resumed: bool) -> None:
        """After joining (again): the differences become events.

        With our old place in the room, publishers still know our sessions. Without it who stayed
        is subscribed anew; and a server that has forgotten us may have forgotten the others too,
        so that who still sends is given time to join again.
        """
        now_ns = self._clock_ns()
        listed = {participant.peer_id: participant for participant in participants}
        for peer_id, member in list(self._members.items()):
            if peer_id in listed:
                if is_resumed:
                    member.subscription.resume()
                else:
                    member.subscription.renew()
            elif is_resumed or not member.subscription.is_receiving(now_ns):
                self._remove(peer_id)
            elif member.lingers_until_ns is None:
                member.lingers_until_ns = now_ns + LINGER_NS
        for participant in listed.values():
            self._put(participant)
        self._listener.on_event(RoomConnected())

    def _is_back(self, lingering: _Member, now_ns: int) -> bool:
        """Whether the same user's media comes over another presence, which is in the list."""
        return any(
            member.participant.user_id == lingering.participant.user_id
            and member.lingers_until_ns is None
            and member.subscription.is_receiving(now_ns)
            for member in self._members.values()
        )

    def _put(self, listed: ListedParticipant) -> None:
        participant = Participant(
            participant_id=ParticipantId(listed.peer_id),
            user_id=UserId(listed.user_id),
            display_name=listed.display_name,
        )
        member = self._members.get(listed.peer_id)
        if member is not None and member.participant != participant:
            self._remove(listed.peer_id)
            member = None
        if member is None:
            if len(self._members) >= MAX_PARTICIPANTS:
                logger.warning("more participants than are followed; ignored")
                return
            subscription = self._subscribe(participant.participant_id)
            task = self._tasks.create_task(subscription.run(), name=f"subscribe:{listed.peer_id}")
            member = self._members[listed.peer_id] = _Member(participant, subscription, task)
            self._listener.on_event(ParticipantJoined(participant))
        member.lingers_until_ns = None
        self._set_tracks(member, listed.tracks)

    def _remove(self, peer_id: str) -> None:
        member = self._members.get(peer_id)
        if member is None:
            return
        self._set_tracks(member, ())
        del self._members[peer_id]
        member.task.cancel()
        self._listener.on_event(ParticipantLeft(member.participant.participant_id))

    def _set_tracks(self, member: _Member, listed: Iterable[ListedTrack]) -> None:
        subscription = member.subscription
        before = subscription.tracks
        after: dict[TrackId, tuple[Track, bool]] = {}
        for entry in listed:
            track = Track(
                track_id=subscription.track_id(entry.name),
                participant_id=member.participant.participant_id,
                kind=entry.kind,
                source=entry.source,
            )
            after[track.track_id] = track, entry.is_muted
        subscription.set_tracks(after)
        for track_id, (track, _) in before.items():
            if track_id not in after or after[track_id][0] != track:
                self._listener.on_event(TrackEnded(track_id))
        for track_id, (track, is_muted) in after.items():
            known = before.get(track_id)
            if known is None or known[0] != track:
                self._listener.on_event(TrackPublished(track))
                was_muted = False
            else:
                was_muted = known[1]
            if is_muted is not was_muted:
                self._listener.on_event(TrackMuted(track_id, is_muted))
