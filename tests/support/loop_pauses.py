"""How long an event loop was busy or blocked, less what the machine was too busy to run it."""

import asyncio
import gc
import os
import time
from pathlib import Path

TICK_S = 0.01
NS_PER_S = 1e9


class LoopPauses:
    """Ticks on the running loop until cancelled.

    A pause is what a tick comes late, minus the time in which a thread of ours stood in the
    kernel's run queue, or the machine itself did not run: neighbours are not what is measured.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.longest_raw_s = 0.0
        self.longest_garbage_s = 0.0
        """Of the longest search for garbage. It stops every thread, in a process that has as much
        imported as a test's for a tenth of a second and more; a worker's `Heap` sees to that."""
        self._garbage_since_s = 0.0

    async def run(self) -> None:
        """Raises `CancelledError`."""
        gc.callbacks.append(self._garbage)
        try:
            await self._run()
        finally:
            gc.callbacks.remove(self._garbage)

    def _garbage(self, phase: str, _: dict[str, int]) -> None:
        now_s = time.perf_counter()
        if phase == "start":
            self._garbage_since_s = now_s
        else:
            self.longest_garbage_s = max(self.longest_garbage_s, now_s - self._garbage_since_s)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before_s, stolen_before_s = loop.time(), _stolen_s()
            await asyncio.sleep(TICK_S)
            late_s = loop.time() - before_s - TICK_S
            self.longest_raw_s = max(self.longest_raw_s, late_s)
            if late_s > self.longest_s:
                self.longest_s = max(self.longest_s, late_s - (_stolen_s() - stolen_before_s))


def _stolen_s() -> float:
    """Time in which threads of this process could have run and did not get to."""
    waited_ns = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            waited_ns += int((task / "schedstat").read_text(encoding="ascii").split()[1])
        except OSError:
            continue  # ended meanwhile
    with Path("/proc/stat").open(encoding="ascii") as stat:
        stolen_ticks = int(stat.readline().split()[8])
    return waited_ns / NS_PER_S + stolen_ticks / os.sysconf("SC_CLK_TCK")
