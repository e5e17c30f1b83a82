"""Our own test room: signalling over a WebSocket, one peer connection per publisher.

Signalling and media live apart: when the socket drops, media goes on while we join again, and
who is there is then compared with who was.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from worker.core.identity import ParticipantId, TrackId
from worker.errors import RoomRefused
from worker.ports import RoomDisconnected, RoomListener, TrackStatistics
from worker.rooms import private
from worker.rooms.ice import IceSettings
from worker.rooms.mesh_messages import join_message
from worker.rooms.mesh_roster import Roster
from worker.rooms.signalling import Signalling
from worker.rooms.subscription import Subscription

logger = logging.getLogger(__name__)

MAX_HANDSHAKES = 8
"""At once; each costs some ms of event loop for certificates, SDP and DTLS."""
POLL_INTERVAL_S = 0.005
MAX_STATISTICS = 10_000


class _Statistics(OrderedDict[TrackId, TrackStatistics]):
    """Counters by track; of more than 10,000 tracks the oldest are forgotten."""

    def __setitem__(self, track_id: TrackId, statistics: TrackStatistics) -> None:
        super().__setitem__(track_id, statistics)
        while len(self) > MAX_STATISTICS:
            self.popitem(last=False)


class MeshRoom:
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
        local = IceSettings.for_signalling(url)
        self._ice = local if ice is None else replace(ice, with_loopback=local.with_loopback)
        self._clock_ns = clock_ns
        self._signalling = Signalling(
            url=url,
            join=join_message(room_id=room_id, user_id=user_id, name=display_name, token=token),
            clock_ns=clock_ns,
        )
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self._statistics = _Statistics()
        self._roster: Roster | None = None

    @property
    def bad_message_count(self) -> int:
        """Messages of the server that were not of the protocol."""
        return self._signalling.bad_message_count

    async def run(self, listener: RoomListener) -> None:
        """Join and deliver into *listener* until cancelled; see `ports.Room`."""
        private.verify()
        refusal: RoomRefused | None = None
        async with asyncio.TaskGroup() as tasks:
            roster = self._roster = Roster(
                listener=listener,
                subscribe=lambda participant_id: self._subscription(participant_id, listener),
                tasks=tasks,
            )
            poller = tasks.create_task(self._poll(roster), name="poll receivers")
            try:
                await self._signalling.run(
                    roster.take, lambda reason: listener.on_event(RoomDisconnected(reason))
                )
            except RoomRefused as exc:
                refusal = exc  # raised below: out of the group it would come wrapped
            finally:
                poller.cancel()
                roster.cancel()
        if refusal is not None:
            raise refusal

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the publisher for a keyframe; at most one request a second goes out."""
        if self._roster is not None:
            for subscription in self._roster.subscriptions:
                if track_id in subscription.tracks:
                    subscription.request_keyframe(track_id)

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        """Counters of every track seen so far, ended ones included."""
        return self._statistics

    def _subscription(self, participant_id: ParticipantId, listener: RoomListener) -> Subscription:
        return Subscription(
            participant_id,
            listener=listener,
            signalling=self._signalling,
            handshakes=self._handshakes,
            ice=self._ice,
            clock_ns=self._clock_ns,
            statistics=self._statistics,
        )

    async def _poll(self, roster: Roster) -> None:
        has_failed = False
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            now_ns = self._clock_ns()
            for subscription in roster.subscriptions:
                try:
                    subscription.poll(now_ns)
                except Exception:  # participant boundary: the others' feedback must go on
                    if not has_failed:
                        logger.exception("feedback failed; further failures are not logged")
                    has_failed = True
