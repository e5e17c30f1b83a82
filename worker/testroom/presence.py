"""One stay of a synthetic participant in a room: signalling, and a session per subscriber."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from worker.core.identity import Source, UserId
from worker.errors import RoomError, RoomRefused
from worker.rooms.cancellation import stop_if_cancelled
from worker.rooms.ice import IceSettings
from worker.rooms.rejoining import without_address
from worker.testroom.faults import Impairment, NetworkFaults
from worker.testroom.protocol import (
    MAX_MESSAGE_BYTES,
    NEW_PLACE,
    PublishedTrack,
    Role,
    encode,
    tracks_json,
)
from worker.testroom.subscription import LocalTrack, Subscription
from worker.testroom.uplink import Uplink

log = logging.getLogger(__name__)

WELCOME_WITHIN_S = 10.0
RETRY_S = 0.5
HEARTBEAT_S = 5.0
LINGER_S = 15.0
"""After the server has forgotten us: until our subscribers are back too."""
MAX_WAITING_MESSAGES = 256
MAX_SUBSCRIPTIONS = 32


@dataclass(frozen=True, slots=True)
class Venue:
    """A room of a test-room server, and the addresses to be reached at by its subscribers."""

    url: str
    room_id: str
    ice: IceSettings


class Presence:
    """Joins the room at *venue* as a publisher and serves whoever subscribes. Mutable, one owner.

    `run` it in a task and cancel it to leave. When the server goes away it joins again, and goes
    on in its old place if the server has kept it.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        user_id: UserId,
        name: str,
        seed: str,
        faults: NetworkFaults,
        start_ns: int,
        on_joined: Callable[[], None],
    ) -> None:
        """*on_joined* is called each time the room knows of this presence and its tracks."""
        self._on_joined = on_joined
        self._venue = venue
        self._join = {
            "type": "join",
            "room": venue.room_id,
            "user_id": user_id,
            "name": name,
            "role": Role.PUBLISHER.value,
            "resume": NEW_PLACE,
        }
        self._user_id = user_id
        self._seed = seed
        self._faults = faults
        self._start_ns = start_ns
        self._tracks: dict[str, LocalTrack] = {}
        self._listed: dict[str, PublishedTrack] = {}
        """The same tracks as the room is told of them."""
        self._outbox: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING_MESSAGES)
        self._sessions: dict[tuple[str, str], tuple[Subscription, asyncio.Task[None]]] = {}
        self._served = 0
        self._is_removed = False

    @property
    def subscriptions(self) -> list[Subscription]:
        """Whoever is being served now."""
        return [subscription for subscription, _ in self._sessions.values()]

    # --- what the actor does ----------------------------------------------------------------

    def publish(self, track: LocalTrack, source: Source, *, muted: bool) -> None:
        """Add a track."""
        self._tracks[track.label] = track
        self._listed[track.label] = PublishedTrack(track.label, track.kind, source, muted)
        self._announce(is_new_media=True)

    def end(self, label: str) -> None:
        """Take a track away."""
        del self._tracks[label], self._listed[label]
        self._announce(is_new_media=True)

    def set_muted(self, label: str, *, muted: bool) -> None:
        """Tell the room that a track is muted or not."""
        self._listed[label] = replace(self._listed[label], muted=muted)
        self._announce(is_new_media=False)

    def set_faults(self, faults: NetworkFaults) -> None:
        """From now on packets to every subscriber meet *faults*."""
        self._faults = faults
        for subscription in self.subscriptions:
            subscription.uplink.faults = faults

    def track(self, label: str) -> LocalTrack:
        """The track that is published as *label*. Raises `KeyError`."""
        return self._tracks[label]

    # --- signalling -------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay in the room until cancelled, or put out. Raises `RoomRefused` when it says no.

        When the connection is lost the subscribers are served on, while we join again.
        """
        refusal: RoomRefused | None = None
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as serving:
            try:
                await self._visit_and_return(http, serving)
            except RoomRefused as exc:
                refusal = exc  # raised below: out of the group it would come wrapped
            finally:
                self._hang_up_all()
        if refusal is not None:
            raise refusal

    async def _visit_and_return(
        self, http: aiohttp.ClientSession, serving: asyncio.TaskGroup
    ) -> None:
        while True:
            try:
                async with http.ws_connect(
                    self._venue.url, heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES
                ) as socket:
                    await self._enter(socket)
                    await self._stay(socket, serving)
            except RoomRefused:
                raise
            except (aiohttp.ClientError, OSError, TimeoutError, RoomError) as exc:
                if self._is_removed:
                    log.info("removed from the room", extra={"user": self._user_id})
                    return
                log.warning(
                    "room lost, joining again",
                    extra={"user": self._user_id, "reason": without_address(exc)},
                )
            stop_if_cancelled()
            await asyncio.sleep(RETRY_S)

    async def _enter(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str(encode(self._join))
        async with asyncio.timeout(WELCOME_WITHIN_S):
            welcome = await _receive(socket)
        if welcome.get("type") == "refused":
            raise RoomRefused(str(welcome.get("reason")))
        if welcome.get("type") != "welcome":
            raise RoomError("the room did not welcome us")
        self._join["resume"] = str(welcome.get("resume", NEW_PLACE))
        if welcome.get("resumed") is not True:
            # Whom we serve knows us by a name that nobody has any more, and will ask anew.
            self._hang_up_later(list(self._sessions))
            self._outbox = asyncio.Queue(MAX_WAITING_MESSAGES)

    async def _stay(
        self, socket: aiohttp.ClientWebSocketResponse, serving: asyncio.TaskGroup
    ) -> None:
        """Handle messages until the connection ends. Raises `RoomError` then."""
        self._announce(is_new_media=False)
        self._on_joined()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_outbox(socket), name=f"outbox:{self._user_id}")
                while True:
                    self._handle(await _receive(socket), serving)
        except* (ConnectionError, RoomError) as lost:
            reason = str(lost.exceptions[0])
        raise RoomError(reason)

    async def _send_outbox(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await socket.send_str(await self._outbox.get())

    def _handle(self, message: Mapping[str, Any], group: asyncio.TaskGroup) -> None:
        match message:
            case {"type": "signal", "from": str(peer_id), "data": dict(data)}:
                self._handle_signal(peer_id, data, group)
            case {"type": "left", "id": str(peer_id)}:
                for key in [key for key in self._sessions if key[0] == peer_id]:
                    self._hang_up(key)
            case {"type": "removed"}:
                self._is_removed = True  # and the end of the connection is next
            case _:
                pass  # who else is here is of no interest to a publisher

    def _handle_signal(
        self, peer_id: str, data: Mapping[str, Any], group: asyncio.TaskGroup
    ) -> None:
        match data:
            case {"kind": "subscribe", "session": str(session)}:
                self._serve((peer_id, session), group)
                self._want((peer_id, session), data.get("video"))
            case {"kind": "want", "session": str(session)}:
                self._want((peer_id, session), data.get("video"))
            case {"kind": "answer", "session": str(session), "sdp": str(sdp)}:
                served = self._sessions.get((peer_id, session))
                if served is not None:
                    served[0].take_answer(sdp)
            case {"kind": "close", "session": str(session)}:
                self._hang_up((peer_id, session))
            case _:
                log.debug("signal of an unknown kind", extra={"from": peer_id})

    def _serve(self, key: tuple[str, str], group: asyncio.TaskGroup) -> None:
        if key in self._sessions or len(self._sessions) >= MAX_SUBSCRIPTIONS:
            return
        self._served += 1
        seed = f"{self._seed}/{self._served}"
        peer_id, session = key
        subscription = Subscription(
            tracks=self._tracks,
            signal=self._signaller(peer_id, session),
            uplink=Uplink(Impairment(self._faults, f"{seed}/network", self._start_ns)),
            ice=self._venue.ice,
            cname=self._user_id,
            seed=seed,
        )
        task = group.create_task(subscription.run(), name=f"serve:{self._user_id}:{session}")
        self._sessions[key] = (subscription, task)
        task.add_done_callback(lambda _: self._forget(key, subscription))

    def _want(self, key: tuple[str, str], videos: object) -> None:
        """Take which of our videos are looked at on a session; nothing said means all."""
        served = self._sessions.get(key)
        if served is not None and isinstance(videos, dict):
            served[0].want(frozenset(videos))

    def _signaller(self, peer_id: str, session: str) -> Callable[[Mapping[str, object]], None]:
        def signal(data: Mapping[str, object]) -> None:
            self._put({"type": "signal", "to": peer_id, "data": {**data, "session": session}})

        return signal

    def _hang_up(self, key: tuple[str, str]) -> None:
        served = self._sessions.pop(key, None)
        if served is not None:
            served[1].cancel()

    def _hang_up_later(self, keys: Iterable[tuple[str, str]]) -> None:
        loop = asyncio.get_running_loop()
        for key in keys:
            loop.call_later(LINGER_S, self._hang_up, key)

    def _hang_up_all(self) -> None:
        for key in list(self._sessions):
            self._hang_up(key)

    def _forget(self, key: tuple[str, str], subscription: Subscription) -> None:
        if key in self._sessions and self._sessions[key][0] is subscription:
            del self._sessions[key]

    def _announce(self, *, is_new_media: bool) -> None:
        self._put({"type": "tracks", "tracks": tracks_json(self._listed.values())})
        if is_new_media:
            for subscription in self.subscriptions:
                subscription.renegotiate()

    def _put(self, message: Mapping[str, object]) -> None:
        """Policy `newest lost`: a server that reads nothing for hundreds of messages is gone."""
        try:
            self._outbox.put_nowait(encode(message))
        except asyncio.QueueFull:
            log.warning("the room does not read", extra={"user": self._user_id})


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> Mapping[str, Any]:
    """The next message. Raises `RoomError` when the connection is over or talks nonsense."""
    received = await socket.receive()
    if received.type is not aiohttp.WSMsgType.TEXT:
        raise RoomError("the room hung up")
    try:
        message = json.loads(received.data)
    except ValueError as exc:
        raise RoomError("the room sent what is not JSON") from exc
    if not isinstance(message, dict):
        raise RoomError("the room sent what is not a message")
    return message
