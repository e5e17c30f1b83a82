"""The WebSocket to the test room's server: joined, watched, and joined again when it is lost."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from worker.core.timing import NS_PER_S
from worker.errors import RoomError, RoomRefused
from worker.rooms.backoff import Backoff
from worker.rooms.bad_messages import BadMessage, BadMessages
from worker.rooms.cancellation import stop_if_cancelled
from worker.rooms.mesh_messages import (
    MAX_MESSAGE_BYTES,
    Message,
    Refused,
    Welcome,
    parse_message,
)

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
HEARTBEAT_S = 5.0
"""A ping this often; the socket is dead when its answer takes half as long, so after 7.5 s."""
STABLE_NS = 5 * NS_PER_S
"""A connection that lasted this long was a success; shorter ones count as failed attempts."""
REFUSED_AGAIN_NS = 60 * NS_PER_S
"""Once in, being refused is retried this long: our former presence may still hold the place."""


class Signalling:
    """Stays joined and hands on what the server says."""

    def __init__(
        self, *, url: str, join: Callable[[str | None], str], clock_ns: Callable[[], int]
    ) -> None:
        """*join* makes the first message of a connection from what the last welcome said about
        coming back.
        """
        self.is_up = asyncio.Event()
        """Set while joined."""
        self._url = url
        self._join = join
        self._clock_ns = clock_ns
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._resume: str | None = None
        self._bad_messages = BadMessages()
        self._joined_ns = 0
        self._backoff = Backoff()

    @property
    def bad_message_count(self) -> int:
        """Messages that were not of the protocol."""
        return self._bad_messages.count

    async def run(
        self, on_message: Callable[[Message], None], on_lost: Callable[[str], None]
    ) -> None:
        """Join, and join again, until cancelled. Every connection begins with a `Welcome`.

        Raises `RoomRefused` when the server says no, after a minute if it once said yes.
        """
        lost_ns: int | None = None
        async with aiohttp.ClientSession() as http:
            while True:
                reason = "connection closed"
                try:
                    await self._visit(http, on_message)
                except RoomRefused as exc:
                    if lost_ns is None or self._clock_ns() - lost_ns > REFUSED_AGAIN_NS:
                        raise
                    reason = str(exc)
                except (aiohttp.ClientError, OSError, TimeoutError, RoomError) as exc:
                    reason = without_address(exc)
                finally:
                    self._socket = None
                if self.is_up.is_set():
                    self.is_up.clear()
                    lost_ns = self._clock_ns()
                    if lost_ns - self._joined_ns > STABLE_NS:
                        self._backoff.reset()
                    on_lost(reason)
                stop_if_cancelled()
                logger.info("not in the room: %s", reason)
                await asyncio.sleep(self._backoff.next_s())

    async def send(self, text: str) -> None:
        """Send one message. Raises `RoomError` when there is no connection."""
        socket = self._socket
        if socket is None:
            raise RoomError("signalling is down")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_str(text)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise RoomError("signalling does not take messages") from exc

    async def _visit(
        self, http: aiohttp.ClientSession, on_message: Callable[[Message], None]
    ) -> None:
        async with (
            asyncio.timeout(JOIN_TIMEOUT_S) as deadline,
            http.ws_connect(
                self._url,
                heartbeat=HEARTBEAT_S,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            ) as socket,
        ):
            await socket.send_str(self._join(self._resume))
            received = await socket.receive()
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise RoomError("the server hung up before it answered")
            first = parse_message(received.data)
            if isinstance(first, Refused):
                raise RoomRefused(first.reason)
            if not isinstance(first, Welcome):
                raise RoomError("the server did not answer our request to join")
            deadline.reschedule(None)
            self._socket = socket
            self._joined_ns = self._clock_ns()
            self._resume = first.resume
            on_message(first)
            self.is_up.set()
            try:
                async for received in socket:
                    self._take(received, on_message)
            except RoomError:
                # Closed as it would be otherwise, this would mean goodbye to the server.
                await socket.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR)
                raise

    def _take(self, received: aiohttp.WSMessage, on_message: Callable[[Message], None]) -> None:
        if received.type is aiohttp.WSMsgType.ERROR:
            raise RoomError("the server broke the connection's rules")
        try:
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise BadMessage("not text")
            message = parse_message(received.data)
        except BadMessage as exc:
            self._bad_messages.note(exc, self._clock_ns())
            return
        on_message(message)


def without_address(error: Exception) -> str:
    """What went wrong, in words that cannot hold the server's address: tokens are part of it."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the server answered {error.status} instead of a connection"
    if isinstance(error, aiohttp.ClientError):
        return type(error).__name__
    return str(error) or type(error).__name__
