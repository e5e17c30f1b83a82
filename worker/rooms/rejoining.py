"""Staying in a room: connected, and connected again whenever the connection is lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp

from worker.core.backoff import Backoff
from worker.core.timing import NS_PER_S
from worker.errors import RoomError, RoomRefused
from worker.rooms.cancellation import stop_if_cancelled

logger = logging.getLogger(__name__)

STABLE_NS = 5 * NS_PER_S
"""A connection that lasted this long was a success; shorter ones count as failed attempts."""
REFUSED_AGAIN_NS = 60 * NS_PER_S
"""Once in, being refused is retried this long: our former presence may still hold the place, and
a room may come back after its server."""


class Rejoining:
    """Makes one visit after another; a visit says when it has entered."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self.is_up = asyncio.Event()
        """Set while joined."""
        self._clock_ns = clock_ns
        self._entered_ns = 0
        self._backoff = Backoff()

    def enter(self) -> None:
        """The visit has got in."""
        self._entered_ns = self._clock_ns()
        self.is_up.set()

    async def run(
        self, visit: Callable[[], Awaitable[str]], on_lost: Callable[[str], None]
    ) -> None:
        """Make visits until cancelled; *visit* returns, or raises, why it ended.

        *on_lost* is told of the end of those that had got in. Raises `RoomRefused` when the
        server says no, after a minute if it once said yes.
        """
        lost_ns: int | None = None
        while True:
            try:
                reason = await visit()
            except RoomRefused as exc:
                if lost_ns is None or self._clock_ns() - lost_ns > REFUSED_AGAIN_NS:
                    raise
                reason = str(exc)
            except (aiohttp.ClientError, OSError, TimeoutError, RoomError) as exc:
                reason = without_address(exc)
            if self.is_up.is_set():
                self.is_up.clear()
                lost_ns = self._clock_ns()
                if lost_ns - self._entered_ns > STABLE_NS:
                    self._backoff.reset()
                on_lost(reason)
            stop_if_cancelled()
            logger.info("not in the room: %s", reason)
            await asyncio.sleep(self._backoff.next_s())


def without_address(error: Exception) -> str:
    """What went wrong, in words that cannot hold the server's address: tokens are part of it."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the server answered {error.status} instead of a connection"
    if isinstance(error, aiohttp.ClientError):
        return type(error).__name__
    return str(error) or type(error).__name__
