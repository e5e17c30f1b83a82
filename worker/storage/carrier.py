"""What all parcels of a courier share: the store, a reading thread, slots, patience, the count."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from worker.core.timing import NS_PER_S
from worker.errors import DestinationError, DestinationRefused
from worker.ports import Clock, Store
from worker.storage.retry import Retry

log = logging.getLogger(__name__)

T = TypeVar("T")

SLOTS = 4
"""Bodies in memory at a time, of at most one part each: 20 MiB for files below 29 GiB."""
LANES = 2
"""Of one parcel: a file that has much to send must not starve the others."""


@dataclass(slots=True)
class Tally:
    """Counted while carrying."""

    uploaded_bytes: int = 0
    failures: int = 0
    last_error: str | None = None
    """Of the newest attempt that failed; None again once one has succeeded."""


class Carrier:
    """Everything is used on the event loop, but for reading, which has a thread of its own."""

    def __init__(self, store: Store, clock: Clock, retry: Retry, group: asyncio.TaskGroup) -> None:
        self.store = store
        self.tally = Tally()
        self._clock = clock
        self._retry = retry
        self._group = group
        self._slots = asyncio.Semaphore(SLOTS)
        # Two, so that a journal need not wait for a part to be read from a slow disk.
        self._thread = ThreadPoolExecutor(2, "courier")
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def now_s(self) -> float:
        return self._clock.now_ns() / NS_PER_S

    def spawn(self, name: str, work: Coroutine[Any, Any, None], *, is_brief: bool = False) -> None:
        """Run *work* until it ends or the courier closes, to its end if it *is_brief*.

        Raises `DestinationError` once the courier has closed.
        """
        if self._is_closed:
            work.close()
            raise DestinationError("uploads have ended; the rest is left to recovery")
        task = self._group.create_task(work, name=name)
        if not is_brief:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Drop what is on its way; it stays in the spool."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()

    def end_thread(self) -> None:
        """Once no task is left that might use it."""
        self._thread.shutdown(wait=False)

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def until_done(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_failure: Callable[[DestinationError], None] = lambda _: None,
    ) -> T:
        """Ask the store until it has answered. Raises what it says for good."""

        def note(exc: DestinationError) -> None:
            self.failed(exc)
            on_failure(exc)

        try:
            result = await self._retry.until_done(attempt, on_failure=note)
        except DestinationRefused as exc:
            self.failed(exc)
            raise
        self.tally.last_error = None
        return result

    async def send(
        self,
        path: Path,
        start: int,
        end: int,
        call: Callable[[bytes], Awaitable[T]],
        *,
        on_failure: Callable[[DestinationError], None] = lambda _: None,
    ) -> tuple[T, bytes]:
        """Give bytes of a file to *call*, again until it succeeds; returns their MD5, too.

        They are read anew for each attempt, so that nobody who waits holds any.
        """

        async def attempt() -> tuple[T, bytes]:
            async with self._slots:
                data, md5 = await self.in_thread(_read, path, start, end)
                return await call(data), md5

        return await self.until_done(attempt, on_failure=on_failure)

    async def md5(self, path: Path, start: int, end: int) -> bytes:
        """Of bytes of a file. Raises `DestinationRefused`."""
        async with self._slots:
            return (await self.in_thread(_read, path, start, end))[1]

    async def slot(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat something small that takes a slot for each attempt."""

        async def attempt() -> T:
            async with self._slots:
                return await call()

        return await self.until_done(attempt)

    def failed(self, exc: DestinationError) -> None:
        """Count an attempt that failed."""
        if self.tally.last_error is None:
            log.warning(
                "store does not answer as it should",
                extra={"store": self.store.address, "code": exc.code, "error": str(exc)},
            )
        self.tally.failures += 1
        self.tally.last_error = str(exc)


def _read(path: Path, start: int, end: int) -> tuple[bytes, bytes]:
    """Bytes of a file and their MD5. Raises `DestinationRefused` when they are not there."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
    except OSError as exc:
        raise DestinationRefused(f"{path.name} cannot be read: {exc.strerror}") from exc
    if len(data) < end - start:
        raise DestinationRefused(f"{path.name} is shorter than it was said to be")
    return data, hashlib.md5(data, usedforsecurity=False).digest()
