"""Spreads the streams of a room over peer connections, and keeps each where it is."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.rooms.janus_plan import StreamKey
from worker.rooms.janus_roster import LiveStream
from worker.rooms.janus_subscription import JanusSubscription

STREAMS_PER_CONNECTION = 60
"""A connection keeps at most 64 tracks; beyond that there is another one."""


class SubscriptionPool:
    """As many subscriptions as the room's streams need; they are kept once made."""

    def __init__(
        self, subscribe: Callable[[], JanusSubscription], tasks: asyncio.TaskGroup
    ) -> None:
        """*subscribe* makes one more subscription, which *tasks* runs."""
        self._subscribe = subscribe
        self._tasks = tasks
        self._subscriptions: list[JanusSubscription] = []
        self._running: list[asyncio.Task[None]] = []
        self._tiles: Mapping[TrackId, Size] | None = None

    @property
    def subscriptions(self) -> Sequence[JanusSubscription]:
        """All of them; each keeps one connection up."""
        return self._subscriptions

    def receive(self, streams: Iterable[LiveStream]) -> None:
        """Receive exactly *streams*; those that stay go on where they are."""
        wanted = {(live.feed_id, live.stream.mid): live for live in streams}
        shares: list[dict[StreamKey, LiveStream]] = [
            {key: wanted.pop(key) for key in subscription.wanted if key in wanted}
            for subscription in self._subscriptions
        ]
        for share in shares:
            while wanted and len(share) < STREAMS_PER_CONNECTION:
                key = next(iter(wanted))
                share[key] = wanted.pop(key)
        while wanted:
            first = list(wanted)[:STREAMS_PER_CONNECTION]
            shares.append({key: wanted.pop(key) for key in first})
            self._grow()
        for subscription, share in zip(self._subscriptions, shares, strict=True):
            subscription.set_wanted(share)

    def set_tiles(self, tiles: Mapping[TrackId, Size]) -> None:
        """Take how large each video is shown; one that is not in *tiles* is not seen."""
        self._tiles = tiles
        for subscription in self._subscriptions:
            subscription.set_tiles(self._tiles)

    def renew(self) -> None:
        """Janus has forgotten us and our handles."""
        for subscription in self._subscriptions:
            subscription.renew()

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe, at most once a second."""
        for subscription in self._subscriptions:
            subscription.request_keyframe(track_id)

    def cancel(self) -> None:
        """Cancel every subscription; the task group waits for them."""
        for task in self._running:
            task.cancel()

    def _grow(self) -> None:
        subscription = self._subscribe()
        subscription.set_tiles(self._tiles)
        self._subscriptions.append(subscription)
        self._running.append(self._tasks.create_task(subscription.run(), name="subscribe"))
