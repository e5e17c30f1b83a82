"""The WebSocket to Janus and the session on it: requests, events, and both again when lost."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from worker.errors import RoomError, RoomRefused
from worker.rooms.bad_messages import BadMessage, BadMessages
from worker.rooms.janus_messages import (
    MAX_MESSAGE_BYTES,
    JanusMessage,
    parse_message,
)
from worker.rooms.rejoining import Rejoining

logger = logging.getLogger(__name__)

PLUGIN = "janus.plugin.videoroom"
CONNECT_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
HEARTBEAT_S = 5.0
"""A ping this often; the socket is dead when its answer takes half as long."""
KEEPALIVE_S = 10.0
"""Janus ends sessions that are silent for `session_timeout`, 60 s unless configured."""

UNAUTHORIZED = 403
NO_SUCH_ROOM = 426
NOT_ALLOWED = 433
REFUSALS = {
    UNAUTHORIZED: "Janus does not accept our API secret or token",
    NO_SUCH_ROOM: "there is no such room",
    NOT_ALLOWED: "the room does not accept our pin or token",
}
"""Janus's own words may repeat what we sent it, so ours are used."""


class RequestFailed(RoomError):
    """Janus answered a request with an error."""

    code = "janus_request"

    def __init__(self, error_code: int) -> None:
        super().__init__(f"Janus refused a request with error {error_code}")
        self.error_code = error_code


@dataclass(frozen=True, slots=True, repr=False)
class JanusAccess:
    """What Janus itself asks for; rooms have pins and tokens of their own."""

    api_secret: str | None = None
    token: str | None = None


class JanusLink:
    """Keeps one Janus session alive. Events of handles go to their listeners."""

    def __init__(self, *, url: str, access: JanusAccess, clock_ns: Callable[[], int]) -> None:
        self._url = url
        self._credentials = {
            key: value
            for key, value in (("apisecret", access.api_secret), ("token", access.token))
            if value is not None
        }
        self._clock_ns = clock_ns
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._session_id: int | None = None
        self._waiting: dict[str, asyncio.Future[JanusMessage]] = {}
        self._listeners: dict[int, Callable[[JanusMessage], None]] = {}
        self._bad_messages = BadMessages()
        self._rejoining = Rejoining(clock_ns)
        self._failure: RoomError | None = None

    @property
    def is_up(self) -> asyncio.Event:
        """Set while requests can be made."""
        return self._rejoining.is_up

    @property
    def bad_message_count(self) -> int:
        """Messages that were not of the protocol."""
        return self._bad_messages.count

    async def run(
        self, on_up: Callable[[bool], Awaitable[None]], on_lost: Callable[[str], None]
    ) -> None:
        """Connect, and connect again, until cancelled.

        *on_up* enters the room whenever there is a session; it is told whether that is the one
        from before, with all its handles. Raises `RoomRefused` when Janus or the room says no,
        after a minute if it once said yes.
        """
        refusal: RoomRefused | None = None
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            try:
                await self._rejoining.run(lambda: self._visit(http, tasks, on_up), on_lost)
            except RoomRefused as exc:
                refusal = exc  # raised below: out of the group it would come wrapped
        if refusal is not None:
            raise refusal

    async def attach(self, listener: Callable[[JanusMessage], None]) -> int:
        """A new handle of the VideoRoom plugin, whose events go to *listener*."""
        reply = await self.request("attach", plugin=PLUGIN)
        if reply.created_id is None:
            raise RoomError("Janus did not name a handle")
        self._listeners[reply.created_id] = listener
        return reply.created_id

    async def detach(self, handle_id: int) -> None:
        """Give a handle up. Says nothing when there is no connection: Janus drops it then."""
        self._listeners.pop(handle_id, None)
        try:
            await self.request("detach", handle_id=handle_id)
        except RoomError as exc:
            logger.debug("a handle was not detached: %s", exc)

    async def message(
        self, handle_id: int, body: Mapping[str, object], *, answer: str | None = None
    ) -> JanusMessage:
        """Ask the plugin; returns its answer. Raises `RequestFailed`, or `RoomError` otherwise."""
        fields: dict[str, object] = {"body": body}
        if answer is not None:
            fields["jsep"] = {"type": "answer", "sdp": answer, "trickle": False}
        return await self.request("message", handle_id=handle_id, **fields)

    async def request(
        self, kind: str, *, handle_id: int | None = None, **fields: object
    ) -> JanusMessage:
        """Ask Janus; returns its answer. Raises `RequestFailed`, or `RoomError` when down."""
        socket = self._socket
        if socket is None:
            raise RoomError("signalling is down")
        transaction = secrets.token_hex(8)
        document: dict[str, object] = {"janus": kind, "transaction": transaction}
        if self._session_id is not None:
            document["session_id"] = self._session_id
        if handle_id is not None:
            document["handle_id"] = handle_id
        document |= self._credentials | fields
        answer: asyncio.Future[JanusMessage] = asyncio.get_running_loop().create_future()
        self._waiting[transaction] = answer
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await socket.send_str(json.dumps(document))
                reply = await answer
        except TimeoutError as exc:
            raise RoomError("Janus did not answer in time") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise RoomError("signalling does not take messages") from exc
        finally:
            del self._waiting[transaction]
        if reply.error_code is not None:
            raise RequestFailed(reply.error_code)
        return reply

    async def _visit(
        self,
        http: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        on_up: Callable[[bool], Awaitable[None]],
    ) -> str:
        """One connection, until it ends; returns why. Raises `RoomRefused`."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await http.ws_connect(
                self._url,
                protocols=("janus-protocol",),
                heartbeat=HEARTBEAT_S,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            )
        self._failure = None
        self._socket = socket
        # Whoever enters asks and waits for answers, which are read here.
        attending = tasks.create_task(self._attend(socket, on_up), name="janus session")
        try:
            async for received in socket:
                self._take(received)
        finally:
            self._socket = None
            attending.cancel()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(RoomError("signalling was lost"))
            await socket.close()
        if isinstance(self._failure, RoomRefused):
            raise self._failure
        return "connection closed" if self._failure is None else str(self._failure)

    async def _attend(
        self, socket: aiohttp.ClientWebSocketResponse, on_up: Callable[[bool], Awaitable[None]]
    ) -> None:
        """Enter the room and keep the session alive; a failure ends the connection."""
        try:
            try:
                await on_up(await self._resume_or_create())
            except RequestFailed as exc:
                refusal = REFUSALS.get(exc.error_code)
                raise exc if refusal is None else RoomRefused(refusal) from exc
            self._rejoining.enter()
            while True:
                await asyncio.sleep(KEEPALIVE_S)
                await self.request("keepalive")
        except RoomError as exc:
            self._failure = exc
            await socket.close()

    async def _resume_or_create(self) -> bool:
        """True when the session from before was still there (`reclaim_session_timeout`)."""
        if self._session_id is not None:
            try:
                await self.request("claim")
                return True
            except RequestFailed:
                self._session_id = None
        self._listeners.clear()
        reply = await self.request("create")
        if reply.created_id is None:
            raise RoomError("Janus did not name a session")
        self._session_id = reply.created_id
        return False

    def _take(self, received: aiohttp.WSMessage) -> None:
        message = self._bad_messages.read(received, parse_message, self._clock_ns())
        if message is None or message.kind == "ack":
            return  # after an ack the answer of the plugin follows
        if message.handle_id is not None and message.handle_id in self._listeners:
            # Before whoever asked for it wakes up, so that nothing overtakes an answer.
            self._notify(message.handle_id, message)
        answer = self._waiting.get(message.transaction or "")
        if answer is not None and not answer.done():
            answer.set_result(message)
        elif message.kind == "timeout" and message.handle_id is None:
            self._session_id = None
            raise RoomError("Janus ended our session")

    def _notify(self, handle_id: int, message: JanusMessage) -> None:
        try:
            self._listeners[handle_id](message)
        except BadMessage as exc:
            self._bad_messages.note(exc, self._clock_ns())
