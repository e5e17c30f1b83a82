"""A peer's place in the room, kept a while for one whose connection has vanished."""

import asyncio
from collections.abc import Callable

from worker.testroom.connection import Outbox

KEPT_S = 30.0
"""As long as media may go on without signalling: then ICE consent has run out too (RFC 7675)."""


class Seat:
    """Taken by one connection at a time. Needs a running event loop."""

    def __init__(self, *, is_kept: bool, on_lost: Callable[[], None]) -> None:
        """*on_lost* is called when nobody has come back in time, or too much waits for it."""
        self.is_kept = is_kept
        self.outbox = Outbox(self._cut_off)
        self._on_lost = on_lost
        self._hang_up: Callable[[], None] | None = None
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._expiry: asyncio.Handle | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a connection has it now."""
        return self._hang_up is not None

    async def take(self, hang_up: Callable[[], None]) -> None:
        """Let a connection have the seat that *hang_up* would end; ends the one before."""
        while self._hang_up is not None:
            self._hang_up()
            await self._is_free.wait()
        self._hang_up = hang_up
        self._is_free.clear()
        self.forget_expiry()

    def free(self) -> None:
        """The connection is gone."""
        self._hang_up = None
        self._is_free.set()

    def keep(self) -> None:
        """Wait for the peer to come back."""
        self.outbox.park()
        self._expiry = asyncio.get_running_loop().call_later(KEPT_S, self._on_lost)

    def forget_expiry(self) -> None:
        """Whatever was to happen when nobody comes back does not."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _cut_off(self) -> None:
        if self._hang_up is not None:
            self.is_kept = False  # messages were thrown away: it could not go on where it was
            self._hang_up()
            return
        self.forget_expiry()
        # Not at once: the message that was too much is being delivered to others still.
        self._expiry = asyncio.get_running_loop().call_soon(self._on_lost)
