"""A machine that has too little to give: a process that gets a share of one core only."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PERIOD_S = 0.05


@asynccontextmanager
async def starved(pid: int, share: float) -> AsyncIterator[None]:
    """Give process *pid* at most *share* of one core, 0 to 1: stopped and continued in turns."""
    cores = os.sched_getaffinity(pid)
    _bind(pid, {min(cores)})
    turns = asyncio.create_task(_take_turns(pid, share))
    try:
        yield
    finally:
        turns.cancel()
        await asyncio.gather(turns, return_exceptions=True)
        if _is_there(pid):
            os.kill(pid, signal.SIGCONT)
            _bind(pid, cores)


async def _take_turns(pid: int, share: float) -> None:
    while _is_there(pid):
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(share * PERIOD_S)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep((1 - share) * PERIOD_S)


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _bind(pid: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
