"""Synthetic participants in a process of their own, so that they are not the worker's load."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.errors import RoomError

READY_S = 90.0
"""Encoding the loops of twenty-five people for the first time takes a while."""


@asynccontextmanager
async def cast_process(scenario: str, *, url: str, room_id: str) -> AsyncIterator[None]:
    """Inside, the people of *scenario* (TOML text) are in the room. Raises `RoomError`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "cast", "-", "--url", url, "--room", room_id),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(scenario.encode())
        process.stdin.close()
        async with asyncio.timeout(READY_S):
            if await process.stdout.readline() != b"ready\n":
                raise RoomError("the synthetic participants did not join")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
