"""Waiting for what other processes, sockets and threads bring about and nobody tells."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Return when *condition* holds. Raises `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what it asks about sets no event
            await asyncio.sleep(0.01)
