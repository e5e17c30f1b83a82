"""Rooms of Janus's VideoRoom plugin, joined over its WebSocket API as a subscriber.

We enter the room without publishing, which tells us who is there, and subscribe to all of it over
few peer connections with many streams each. Signalling and media live apart: when the socket
drops, media goes on while we connect again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.errors import RoomError
from worker.ports import RoomConnected, RoomDisconnected, RoomListener
from worker.rooms import private
from worker.rooms.ice import IceSettings
from worker.rooms.janus_link import JanusAccess, JanusLink
from worker.rooms.janus_messages import JanusMessage, departed, feeds
from worker.rooms.janus_pool import SubscriptionPool
from worker.rooms.janus_roster import JanusNaming, JanusRoster
from worker.rooms.janus_subscription import JanusPass, JanusSubscription
from worker.rooms.receiving import Receiving


@dataclass(frozen=True, slots=True, repr=False)
class JanusEntry:
    """What lets us into one room; not printed, as it holds secrets."""

    room: int | str
    pin: str | None = None
    token: str | None = None
    """The room's invitation token."""
    display_name: str = "mixworker"

    def body(self) -> dict[str, object]:
        """As a request to join without publishing."""
        fields = {
            "request": "join",
            "ptype": "publisher",
            "room": self.room,
            "display": self.display_name,
            "pin": self.pin,
            "token": self.token,
        }
        return {name: value for name, value in fields.items() if value is not None}


class JanusRoom(Receiving):
    """`ports.Room` of a VideoRoom. Good for one `run`."""

    def __init__(
        self,
        *,
        url: str,
        entry: JanusEntry,
        clock_ns: Callable[[], int],
        access: JanusAccess | None = None,
        naming: JanusNaming | None = None,
        ice: IceSettings | None = None,
    ) -> None:
        """*url* is Janus's `ws:` or `wss:` address."""
        super().__init__(clock_ns)
        self._ice = ice or IceSettings()
        self._entry = entry
        self._naming = naming or JanusNaming()
        self._link = JanusLink(url=url, access=access or JanusAccess(), clock_ns=clock_ns)
        self._pool: SubscriptionPool | None = None
        self._wanted: Mapping[TrackId, Size] | None = None
        self._handle_id: int | None = None
        self._private_id: int | None = None

    @property
    def bad_message_count(self) -> int:
        """Messages of Janus that were not of its API."""
        return self._link.bad_message_count

    @property
    def bad_offer_count(self) -> int:
        """Offers of Janus that made no sense."""
        subscriptions = () if self._pool is None else self._pool.subscriptions
        return sum(subscription.bad_offer_count for subscription in subscriptions)

    async def run(self, listener: RoomListener) -> None:
        """Join and deliver into *listener* until cancelled; see `ports.Room`."""
        private.verify()
        failure: RoomError | None = None
        self._open_reader()
        async with asyncio.TaskGroup() as tasks:
            pool = self._pool = SubscriptionPool(lambda: self._subscription(listener), tasks)
            if self._wanted is not None:
                pool.set_tiles(self._wanted)
            roster = JanusRoster(self._naming, listener.on_event)
            poller = tasks.create_task(
                self._poll(lambda: pool.subscriptions), name="poll receivers"
            )

            async def enter(has_resumed: bool) -> None:
                await self._enter(has_resumed, roster, pool)
                listener.on_event(RoomConnected())

            try:
                await self._link.run(
                    enter, lambda reason: listener.on_event(RoomDisconnected(reason))
                )
            except RoomError as exc:
                failure = exc  # raised below: out of the group it would come wrapped
            finally:
                poller.cancel()
                pool.cancel()
                self._close_reader()
        if failure is not None:
            raise failure

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe; at most one request a second goes out."""
        if self._pool is not None:
            self._pool.request_keyframe(track_id)

    def want_video(self, wanted: Mapping[TrackId, Size]) -> None:
        """Pause all other video, and ask for layers that fit their tiles."""
        self._wanted = dict(wanted)
        if self._pool is not None:
            self._pool.set_tiles(self._wanted)

    async def _enter(self, has_resumed: bool, roster: JanusRoster, pool: SubscriptionPool) -> None:
        """Join anew even when the session was resumed: only that tells who is there."""
        if not has_resumed:
            pool.renew()
        elif self._handle_id is not None:
            await self._link.detach(self._handle_id)

        def take(message: JanusMessage) -> None:
            self._take(message, roster)
            pool.receive(roster.live())

        self._handle_id = await self._link.attach(take)
        await self._link.message(self._handle_id, self._entry.body())

    def _take(self, message: JanusMessage, roster: JanusRoster) -> None:
        """What the room says, the answer to our joining included."""
        event = message.event
        match event.get("videoroom"):
            case "joined":
                private_id = event.get("private_id")
                self._private_id = private_id if isinstance(private_id, int) else None
                roster.replace(feeds(event))
            case "destroyed":
                raise RoomError("the room was destroyed")
            case "event":
                roster.put(feeds(event))
                gone = departed(event)
                if gone is not None:
                    roster.remove(gone)
                elif event.get("leaving") == "ok":
                    raise RoomError("we were removed from the room")

    def _subscription(self, listener: RoomListener) -> JanusSubscription:
        return JanusSubscription(
            link=self._link,
            listener=listener,
            ice=self._ice,
            clock_ns=self._clock_ns,
            statistics=self._statistics,
            patience=self._patience,
            resting=self._resting,
            room_pass=lambda: JanusPass(self._entry.room, self._entry.pin, self._private_id),
            reader=self._reader,
        )
