"""Who publishes in a VideoRoom, as events: feeds become participants, their streams tracks."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from worker.core.identity import Kind, Participant, ParticipantId, Source, Track, TrackId, UserId
from worker.core.spec import SCREEN_PATTERN
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    TrackEnded,
    TrackPublished,
)
from worker.rooms.janus_messages import MAX_FEEDS, Feed, FeedId, FeedStream


@dataclass(frozen=True, slots=True)
class JanusNaming:
    """How to tell who is who, which Janus leaves to its users."""

    user_id_is_display: bool = False
    """Whether a feed's display name identifies its user, instead of the feed's id."""
    screen_pattern: str = SCREEN_PATTERN
    """Regular expression; a video whose description matches it is a shared screen."""

    def user_id(self, feed_id: FeedId, display_name: str) -> UserId:
        """Who publishes as *feed_id*."""
        return UserId((self.user_id_is_display and display_name) or str(feed_id))


@dataclass(frozen=True, slots=True)
class LiveStream:
    """A stream that can be subscribed to, and the track it is for us."""

    feed_id: FeedId
    stream: FeedStream
    track: Track


@dataclass(slots=True)
class _Presence:
    feed: Feed
    participant: Participant
    streams: dict[str, LiveStream]


class JanusRoster:
    """Compares what Janus lists with what was; differences leave as events, in order."""

    def __init__(self, naming: JanusNaming, on_event: Callable[[RoomEvent], None]) -> None:
        self._naming = naming
        self._on_event = on_event
        self._screen = re.compile(naming.screen_pattern)
        self._present: dict[FeedId, _Presence] = {}
        self._joins = 0

    def live(self) -> Iterator[LiveStream]:
        """Every stream there is to subscribe to, in order of entry."""
        for presence in self._present.values():
            yield from presence.streams.values()

    def replace(self, feeds: Iterable[Feed]) -> None:
        """After entering (again): the complete list."""
        listed = {feed.feed_id: feed for feed in feeds}
        for feed_id in [feed_id for feed_id in self._present if feed_id not in listed]:
            self.remove(feed_id)
        self.put(listed.values())

    def put(self, feeds: Iterable[Feed]) -> None:
        """Feeds that are new or have changed; each comes with all of its streams."""
        for feed in feeds:
            presence = self._present.get(feed.feed_id)
            if presence is not None and presence.feed.display_name != feed.display_name:
                self.remove(feed.feed_id)
                presence = None
            if presence is None:
                if len(self._present) >= MAX_FEEDS:
                    return
                presence = self._enter(feed)
            presence.feed = feed
            self._compare(presence)

    def remove(self, feed_id: FeedId) -> None:
        """A feed that has gone; unknown ones were never there for us."""
        presence = self._present.pop(feed_id, None)
        if presence is None:
            return
        for live in presence.streams.values():
            self._on_event(TrackEnded(live.track.track_id))
        self._on_event(ParticipantLeft(presence.participant.participant_id))

    def _enter(self, feed: Feed) -> _Presence:
        # A feed may leave and come back under its id; each presence is a participant of its own.
        self._joins += 1
        participant = Participant(
            participant_id=ParticipantId(f"{self._joins}:{feed.feed_id}"),
            user_id=self._naming.user_id(feed.feed_id, feed.display_name),
            display_name=feed.display_name or str(feed.feed_id),
        )
        presence = self._present[feed.feed_id] = _Presence(feed, participant, {})
        self._on_event(ParticipantJoined(participant))
        return presence

    def _compare(self, presence: _Presence) -> None:
        listed = {stream.mid: self._live(presence, stream) for stream in presence.feed.streams}
        before, presence.streams = presence.streams, listed
        for mid, live in before.items():
            if mid not in listed or listed[mid].track != live.track:
                self._on_event(TrackEnded(live.track.track_id))
        for mid, live in listed.items():
            if mid not in before or before[mid].track != live.track:
                self._on_event(TrackPublished(live.track))

    def _live(self, presence: _Presence, stream: FeedStream) -> LiveStream:
        participant_id = presence.participant.participant_id
        track = Track(
            track_id=TrackId(f"{participant_id}/{stream.mid}"),
            participant_id=participant_id,
            kind=stream.kind,
            source=self._source(presence.feed, stream),
        )
        return LiveStream(presence.feed.feed_id, stream, track)

    def _source(self, feed: Feed, stream: FeedStream) -> Source:
        """By the stream's description; without one by the feed's name, where screens are feeds of
        their own.
        """
        words = stream.description or feed.display_name
        if self._screen.search(words):
            return Source.SCREEN
        return Source.CAMERA if stream.kind is Kind.VIDEO else Source.MICROPHONE
