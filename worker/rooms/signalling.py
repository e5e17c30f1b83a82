"""The WebSocket to the test room's server: joined, watched, and joined again when it is lost."""

import asyncio
from collections.abc import Callable

import aiohttp

from worker.errors import RoomError, RoomRefused
from worker.rooms.bad_messages import BadMessages
from worker.rooms.mesh_messages import (
    MAX_MESSAGE_BYTES,
    Message,
    Refused,
    Welcome,
    parse_message,
)
from worker.rooms.rejoining import Rejoining

JOIN_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
HEARTBEAT_S = 5.0
"""A ping this often; the socket is dead when its answer takes half as long, so after 7.5 s."""


class Signalling:
    """Stays joined and hands on what the server says."""

    def __init__(
        self, *, url: str, join: Callable[[str | None], str], clock_ns: Callable[[], int]
    ) -> None:
        """*join* makes the first message of a connection from what the last welcome said about
        coming back.
        """
        self._url = url
        self._join = join
        self._clock_ns = clock_ns
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._resume: str | None = None
        self._bad_messages = BadMessages()
        self._rejoining = Rejoining(clock_ns)

    @property
    def is_up(self) -> asyncio.Event:
        """Set while joined."""
        return self._rejoining.is_up

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
        async with aiohttp.ClientSession() as http:
            await self._rejoining.run(lambda: self._visit(http, on_message), on_lost)

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
    ) -> str:
        """One connection, until it ends; returns why. Raises `RoomRefused`."""
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
            self._resume = first.resume
            on_message(first)
            self._rejoining.enter()
            try:
                async for received in socket:
                    message = self._bad_messages.read(received, parse_message, self._clock_ns())
                    if message is not None:
                        on_message(message)
            except RoomError:
                # Closed as it would be otherwise, this would mean goodbye to the server.
                await socket.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR)
                raise
            finally:
                self._socket = None
        return "connection closed"
