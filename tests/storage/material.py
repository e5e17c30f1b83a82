"""Time that runs faster, recorded files that grow, and a courier between them and a store."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from worker.ports import FileCompleted, RecordedFile, RecordEvent, Store
from worker.storage.courier import SpoolCourier, open_courier

MIB = 1 << 20
PART = 5 * MIB
SPEED = 50
"""Waits of up to 30 s are 0.6 s."""


class QuickClock:
    """`ports.Clock`, so many times faster than ours."""

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9 * SPEED)

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        await asyncio.sleep(max(0, deadline_ns - self.now_ns()) / 1e9 / SPEED)


class KeptEvents:
    """`ports.RecordEvents` in a list."""

    def __init__(self) -> None:
        self.events: list[RecordEvent] = []

    @property
    def completed(self) -> list[FileCompleted]:
        return [event for event in self.events if isinstance(event, FileCompleted)]

    async def publish(self, event: RecordEvent) -> None:
        self.events.append(event)


class GrowingFile:
    """A file in the spool that becomes longer, and whose head is written over at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        self.size = 0

    def append(self, count: int) -> int:
        with self.path.open("ab") as file:
            file.write(os.urandom(count))
        self.size += count
        return self.size

    def finish(self) -> bytes:
        """Closed as an MP4 is; returns all of it."""
        with self.path.open("r+b") as file:
            file.seek(40)
            file.write(b"\0\0\0\1mdat")
        self.append(1000)
        return self.path.read_bytes()


def recorded(key: str, *, file_id: str = "f1", record_format: str = "MP4") -> RecordedFile:
    return RecordedFile(
        job_id="job",
        file_id=file_id,
        record_format=record_format,
        key=key,
        start_s=0.0,
        start_unix_s=1_700_000_000.0,
        width=1280,
        height=720,
    )


@asynccontextmanager
async def courier_to(store: Store, directory: Path) -> AsyncIterator[SpoolCourier]:
    async with open_courier(store, directory, clock=QuickClock(), random=Random(5)) as courier:
        yield courier


async def stored_bytes(store: Store, key: str) -> bytes:
    return await store.get(key, max_bytes=100 * MIB)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
