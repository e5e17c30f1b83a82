"""How many connections are being made at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_HANDSHAKES = 8
"""Each costs some ms of event loop for certificates, SDP and DTLS."""
SLOT_S = 1.0
"""Who takes longer is not shaking hands but waiting for a network that is away; the others must
not wait with it, or a room of 25 would come back in turns of eight."""


class Handshakes:
    """Eight slots, each lent for a second at most."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_HANDSHAKES)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot; it goes back at the end, or after `SLOT_S` already."""
        await self._free.acquire()
        is_lent = True

        def give_back() -> None:
            nonlocal is_lent
            if is_lent:
                is_lent = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(SLOT_S, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
