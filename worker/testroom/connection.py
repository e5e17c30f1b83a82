"""One WebSocket: reads and checks, and sends without ever making the others wait."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from aiohttp import WSCloseCode, WSMsgType, web

from worker.errors import InvalidField, RoomRefused
from worker.testroom.protocol import Join, Message, encode, parse

log = logging.getLogger(__name__)

JOIN_WITHIN_S = 10.0
MAX_MISTAKES = 50
MESSAGES_PER_S = 100
MESSAGE_BURST = 1000
"""A recorder that joins a full room sends some hundred messages at once, and may."""
MAX_WAITING_MESSAGES = 2048
MAX_WAITING_CHARS = 8 * 1024 * 1024


class MessageAllowance:
    """Paces one connection: a burst is free, then messages wait their turn."""

    def __init__(self) -> None:
        self._free_at_s = float("-inf")

    def take(self, now_s: float) -> float:
        """Count one message at *now_s*; how long to wait, s, before the next is read."""
        full_at_s = now_s - MESSAGE_BURST / MESSAGES_PER_S
        self._free_at_s = max(self._free_at_s, full_at_s) + 1 / MESSAGES_PER_S
        return max(0.0, self._free_at_s - now_s)


class Outbox:
    """Messages for one peer. Policy `fail`: one who does not read them is cut off.

    So a stalled browser costs a bounded amount of memory, and nobody else any time. Outlasts a
    connection: while the peer is away what is lasting waits for it, all else is left out.
    """

    def __init__(self, cut_off: Callable[[], None]) -> None:
        self._cut_off = cut_off
        self._waiting: deque[tuple[str, bool]] = deque()
        self._waiting_chars = 0
        self._wake = asyncio.Event()
        self._is_away = False
        self._is_closed = False

    def put(self, text: str, *, is_lasting: bool = False) -> None:
        """Take *text* to be sent; ignored once closed."""
        if self._is_closed or (self._is_away and not is_lasting):
            return
        self._waiting.append((text, is_lasting))
        self._waiting_chars += len(text)
        if len(self._waiting) > MAX_WAITING_MESSAGES or self._waiting_chars > MAX_WAITING_CHARS:
            log.warning("peer does not read its messages; cut off")
            self._clear()
            self._cut_off()
            self.close()
        self._wake.set()

    def close(self) -> None:
        """Take nothing more; `run` ends when what is waiting has been sent."""
        self._is_closed = True
        self._wake.set()

    def park(self) -> None:
        """The peer is away: keep what is lasting."""
        kept = [entry for entry in self._waiting if entry[1]]
        self._clear()
        self._waiting.extend(kept)
        self._waiting_chars = sum(len(text) for text, _ in kept)
        self._is_away, self._is_closed = True, False

    def reopen(self, first: Iterable[str]) -> None:
        """The peer is back: *first* goes before what has been waiting."""
        kept = list(self._waiting)
        self._clear()
        self._is_away = self._is_closed = False
        for text in first:
            self.put(text)
        for text, is_lasting in kept:
            self.put(text, is_lasting=is_lasting)

    async def run(self, socket: web.WebSocketResponse) -> None:
        """Send until closed and empty, or until the connection is gone."""
        while True:
            while self._waiting:
                text, is_lasting = self._waiting.popleft()
                self._waiting_chars -= len(text)
                try:
                    await socket.send_str(text)
                except ConnectionError:
                    self._waiting.appendleft((text, is_lasting))
                    self._waiting_chars += len(text)
                    return
            if self._is_closed:
                return
            self._wake.clear()
            await self._wake.wait()

    def _clear(self) -> None:
        self._waiting.clear()
        self._waiting_chars = 0


async def receive_join(socket: web.WebSocketResponse) -> Join | None:
    """The first message, or None when the client went away before it.

    Raises `RoomRefused` naming the field when it is late or is no join.
    """
    try:
        received = await socket.receive(timeout=JOIN_WITHIN_S)
    except TimeoutError as exc:
        raise RoomRefused(f"type: no join within {JOIN_WITHIN_S:g} s") from exc
    if received.type is WSMsgType.BINARY:
        raise RoomRefused("message: must be text")
    if received.type is not WSMsgType.TEXT:
        return None
    try:
        message = parse(received.data)
    except InvalidField as exc:
        raise RoomRefused(str(exc)) from exc
    if not isinstance(message, Join):
        raise RoomRefused("type: join must come first")
    return message


async def receive_messages(
    socket: web.WebSocketResponse,
    handle: Callable[[Message], None],
    answer: Callable[[str], None],
) -> bool:
    """Hand every good message to *handle* until the connection ends; whether with a goodbye.

    A bad one is answered with an error that names the field; after `MAX_MISTAKES` of them the
    connection is closed. *handle* may raise `InvalidField` as well.
    """
    loop = asyncio.get_running_loop()
    allowance = MessageAllowance()
    mistakes = 0
    while mistakes < MAX_MISTAKES:
        received = await socket.receive()
        try:
            if received.type is WSMsgType.BINARY:
                raise InvalidField("message", "must be text")
            if received.type is WSMsgType.CLOSE:
                return _is_goodbye(received.data)
            if received.type is not WSMsgType.TEXT:
                return False
            handle(parse(received.data))
        except InvalidField as exc:
            mistakes += 1
            answer(encode({"type": "error", "field": exc.path, "reason": exc.reason}))
        if wait_s := allowance.take(loop.time()):
            await asyncio.sleep(wait_s)
    answer(encode({"type": "error", "field": "message", "reason": "too many mistakes"}))
    return False


def _is_goodbye(close_code: int | None) -> bool:
    """Whether a close frame says that its sender wanted to go; other codes name a failure."""
    return not close_code or close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY)


async def refuse(socket: web.WebSocketResponse, refusal: RoomRefused) -> None:
    """Say why not, and hang up."""
    try:
        await socket.send_str(encode({"type": "refused", "reason": str(refusal)}))
    except ConnectionError:
        return  # gone already: nobody to tell
    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"refused")
