"""A machine that has too little to give: a process that gets a part of what it needs."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from worker.core.timing import NS_PER_S

TURN_S = 0.01
LEAST_REST_S = 0.005


def cpu_s(pid: int) -> float:
    """CPU time of all threads that process *pid* has now."""
    total_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            total_ns += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            pass  # it has just ended
    return total_ns / NS_PER_S


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
    """What a turn takes is measured: sleeps are longer than asked for, by as much as they like."""
    while _is_there(pid):
        began_s, had_s = time.monotonic(), cpu_s(pid)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(TURN_S)
        if not _is_there(pid):
            return
        os.kill(pid, signal.SIGSTOP)
        due_s = began_s + (cpu_s(pid) - had_s) / share
        await asyncio.sleep(max(LEAST_REST_S, due_s - time.monotonic()))


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _bind(pid: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
