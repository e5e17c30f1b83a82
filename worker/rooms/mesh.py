"""Our own test room: signalling over a WebSocket, one peer connection per publisher.

Signalling and media live apart: when the socket drops, media goes on while we join again in our
old place, and who is there is then compared with who was.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from worker.core.identity import ParticipantId, TrackId
from worker.core.layout.geometry import Size
from worker.errors import RoomRefused
from worker.ports import RoomDisconnected, RoomListener
from worker.rooms import private
from worker.rooms.handshakes import Handshakes
from worker.rooms.ice import IceSettings
from worker.rooms.mesh_messages import Message, Welcome, join_message
from worker.rooms.mesh_roster import Roster
from worker.rooms.receiving import Receiving
from worker.rooms.signalling import Signalling
from worker.rooms.subscription import Subscription


class MeshRoom(Receiving):
    """`ports.Room` of the test room; joins as a subscriber. Good for one `run`."""

    def __init__(
        self,
        *,
        url: str,
        room_id: str,
        user_id: str,
        clock_ns: Callable[[], int],
        ice: IceSettings | None = None,
        display_name: str = "mixworker",
        token: str | None = None,
    ) -> None:
        """*url* is the server's `ws:` or `wss:` address. When that is a loopback one, 127.0.0.1
        is offered too, unless *ice* names addresses itself.
        """
        super().__init__(clock_ns)
        local = IceSettings.for_signalling(url)
        self._ice = local if ice is None else replace(ice, with_loopback=local.with_loopback)
        self._signalling = Signalling(
            url=url,
            join=lambda resume: join_message(
                room_id=room_id, user_id=user_id, name=display_name, token=token, resume=resume
            ),
            clock_ns=clock_ns,
        )
        self._handshakes = Handshakes()
        self._roster: Roster | None = None
        self._wanted: Mapping[TrackId, Size] | None = None
        self._has_news = asyncio.Event()
        """Something is to be told to publishers."""

    @property
    def bad_message_count(self) -> int:
        """Messages of the server that were not of the protocol."""
        return self._signalling.bad_message_count

    async def run(self, listener: RoomListener) -> None:
        """Join and deliver into *listener* until cancelled; see `ports.Room`."""
        private.verify()
        refusal: RoomRefused | None = None
        self._open_reader()
        async with asyncio.TaskGroup() as tasks:
            roster = self._roster = Roster(
                listener=listener,
                subscribe=lambda participant_id: self._subscription(participant_id, listener),
                tasks=tasks,
                clock_ns=self._clock_ns,
            )
            helpers = [
                tasks.create_task(
                    self._poll(lambda: (roster, *roster.subscriptions)), name="poll receivers"
                ),
                tasks.create_task(self._tell_wanted(roster), name="tell what is looked at"),
            ]

            def take(message: Message) -> None:
                roster.take(message)
                if isinstance(message, Welcome):
                    self._has_news.set()

            try:
                await self._signalling.run(
                    take, lambda reason: listener.on_event(RoomDisconnected(reason))
                )
            except RoomRefused as exc:
                refusal = exc  # raised below: out of the group it would come wrapped
            finally:
                for helper in helpers:
                    helper.cancel()
                roster.cancel()
                self._close_reader()
        if refusal is not None:
            raise refusal

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe; at most one request a second goes out."""
        if self._roster is not None:
            for subscription in self._roster.subscriptions:
                if track_id in subscription.tracks:
                    subscription.request_keyframe(track_id)

    def want_video(self, wanted: Mapping[TrackId, Size]) -> None:
        """Let publishers pause every video that is not in *wanted*; see `ports.Room`."""
        self._wanted = dict(wanted)
        if self._roster is not None:
            for subscription in self._roster.subscriptions:
                subscription.want_video(self._wanted)
        self._has_news.set()

    def _subscription(self, participant_id: ParticipantId, listener: RoomListener) -> Subscription:
        return Subscription(
            participant_id,
            listener=listener,
            signalling=self._signalling,
            handshakes=self._handshakes,
            ice=self._ice,
            clock_ns=self._clock_ns,
            statistics=self._statistics,
            patience=self._patience,
            resting=self._resting,
            wanted=self._wanted,
            reader=self._reader,
        )

    async def _tell_wanted(self, roster: Roster) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            await self._signalling.is_up.wait()
            for subscription in roster.subscriptions:
                await subscription.tell_wanted()
