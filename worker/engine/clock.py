"""The job's clock, read from the running event loop, so that a virtual loop moves everything."""

import asyncio

from worker.core.timing import NS_PER_S


class LoopClock:
    """`ports.Clock` on an event loop's own monotonic time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return round(self._loop.time() * NS_PER_S)

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        remaining_ns = deadline_ns - self.now_ns()
        if remaining_ns > 0:
            await asyncio.sleep(remaining_ns / NS_PER_S)
