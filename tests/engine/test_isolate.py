import asyncio

import pytest

from worker.engine.isolate import isolate
from worker.errors import DestinationError


async def test_a_dead_destination_is_reported_and_not_raised():
    down: list[tuple[str, str]] = []

    async def dies() -> None:
        raise DestinationError("disk full")

    await isolate("mp4", dies, lambda name, error: down.append((name, str(error))))

    assert down == [("mp4", "disk full")]


async def test_a_bug_in_a_sink_passes_through():
    async def bug() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await isolate("mp4", bug, lambda name, error: pytest.fail("not a destination error"))


async def test_a_cancelled_sink_ends():
    async def forever() -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        sink = group.create_task(isolate("mp4", forever, lambda name, error: None))
        await asyncio.sleep(0)
        sink.cancel()

    assert sink.cancelled()
