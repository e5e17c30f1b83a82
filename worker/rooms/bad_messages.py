"""Messages of a room's server that make no sense: ignored and counted, up to a limit."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import aiohttp

from worker.core.timing import NS_PER_S
from worker.errors import RoomError

T = TypeVar("T")

MAX_BAD_MESSAGES = 50
BAD_MESSAGE_WINDOW_NS = 60 * NS_PER_S
"""So much nonsense within a minute means that the two ends are out of step: join again."""


class BadMessage(RoomError):
    """A message that is not of the protocol; it is ignored and counted."""

    code = "bad_message"


class BadMessages:
    """The count of one server's bad messages."""

    def __init__(self) -> None:
        self.count = 0
        self._noted_ns: deque[int] = deque(maxlen=MAX_BAD_MESSAGES)

    def read(self, received: aiohttp.WSMessage, parse: Callable[[str], T], now_ns: int) -> T | None:
        """What the server said; None for nonsense, which is counted.

        Raises `RoomError` when the connection is of no use any more.
        """
        if received.type is aiohttp.WSMsgType.ERROR:
            raise RoomError("the server broke the connection's rules")
        try:
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise BadMessage("not text")
            return parse(received.data)
        except BadMessage as exc:
            self.note(exc, now_ns)
            return None

    def note(self, problem: BadMessage, now_ns: int) -> None:
        """Count one more. Raises `RoomError` when there were too many within a minute."""
        self.count += 1
        self._noted_ns.append(now_ns)
        if len(self._noted_ns) < MAX_BAD_MESSAGES:
            return
        if now_ns - self._noted_ns[0] < BAD_MESSAGE_WINDOW_NS:
            self._noted_ns.clear()
            raise RoomError("too many messages that make no sense") from problem
