"""Synthetic participants in a process of their own, so that they are not the worker's load."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from worker.errors import RoomError

READY_S = 90.0
"""Encoding the loops of twenty-five people for the first time takes a while."""
NICENESS = 10
"""Where processors are few the recorder comes first: elsewhere, people bring their own."""


def cast_process(scenario: str, *, url: str, room_id: str) -> AbstractAsyncContextManager[None]:
    """Inside, the people of *scenario* (TOML text) are in the room. Raises `RoomError`."""
    return performing(scenario, "worker", "cast", "-", "--url", url, "--room", room_id)


@asynccontextmanager
async def performing(scenario: str, module: str, *arguments: str) -> AsyncIterator[None]:
    """Run *module*, which reads *scenario* and says "ready" once everybody is in the room."""
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", str(NICENESS), sys.executable, "-m", module, *arguments),
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
