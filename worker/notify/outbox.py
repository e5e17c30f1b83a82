"""Events of one recording on their way: kept first, then delivered in order, at least once."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TypeVar

from worker.core.spec import CallbackEvent
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.notify.event_store import EventStore, Fate, StoredEvent
from worker.notify.post import GONE, OK, Post
from worker.notify.schedule import QUICK_S, told_s, wait_s
from worker.notify.target import forget_target
from worker.ports import (
    Clock,
    FileCompleted,
    FileStarted,
    OutputProgress,
    RecordEvent,
    RecordingOver,
)

log = logging.getLogger(__name__)

SETTLE_LOOK_NS = 20 * NS_PER_MS

T = TypeVar("T")


class Outbox:
    """`ports.RecordEvents` for one job; made by `open_outbox`.

    The head of the line is tried until it is delivered or given up, and nothing overtakes it. An
    event that is published again is the same event: it has the same id and is not sent twice
    unless the sender died between sending and taking note of it.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        events: frozenset[CallbackEvent],
        body: Callable[[RecordEvent], bytes],
        post: Post,
        clock: Clock,
        unix_s: Callable[[], float],
        rng: Random,
        thread: ThreadPoolExecutor,
    ) -> None:
        """*thread* is the one on which the store is used: a disk may take its time."""
        self._store = store
        self._events = events
        self._body = body
        self._post = post
        self._clock = clock
        self._unix_s = unix_s
        self._rng = rng
        self._thread = thread
        self._opened_ns = clock.now_ns()
        self._opened_unix_s = unix_s()
        self._due_ns = self._opened_ns
        self._news = asyncio.Event()
        self._trouble = ""
        self.is_over = False
        """Whether the last event of the job was published."""

    @property
    def pending(self) -> int:
        """Events kept and not delivered."""
        return self._store.pending

    @property
    def given_up(self) -> int:
        """Events that were tried for three days, and those that could not be read."""
        return self._store.given_up

    @property
    def is_stopped(self) -> bool:
        """Whether the receiver said that it is gone for good."""
        return self._store.is_stopped

    def progress(self) -> OutputProgress:
        """How it stands, for people."""
        waiting = f"{self.pending} waiting" if self.pending else "delivered"
        return OutputProgress(
            name="callbacks",
            state="stopped" if self.is_stopped else waiting,
            error=self._trouble or None,
        )

    async def publish(self, event: RecordEvent) -> None:
        """Keep *event* if it is wanted; on the disk when this returns, it is sent by `run`."""
        kind, event_id = identity_of(event)
        self.is_over = self.is_over or kind is CallbackEvent.RECORDING_OVER
        if kind not in self._events:
            return
        await self._on_thread(self._store.add, event_id, self._body(event))
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._news.clear()
            head = await self._on_thread(self._store.head)
            if head is None or self.is_stopped:
                await self._news.wait()
            else:
                await self._deliver(head)

    async def settle(self, deadline_ns: int) -> None:
        """Wait until nothing is left that is due before *deadline_ns*, at most until then.

        Only `run` delivers. What is left stays for whoever opens the directory next.
        """
        while self.pending and not self.is_stopped and self._due_ns <= deadline_ns:
            now_ns = self._clock.now_ns()
            if now_ns >= deadline_ns:
                return
            look_ns = max(now_ns + SETTLE_LOOK_NS, self._due_ns)
            await self._clock.sleep_until_ns(min(look_ns, deadline_ns))

    async def _deliver(self, event: StoredEvent) -> None:
        since_unix_s = self._store.failing_since(event.number)
        # What failed in an earlier process is tried at once, and then by its age.
        attempts = 0 if since_unix_s is None else len(QUICK_S)
        while True:
            answer = await self._post(event)
            attempts += 1
            if answer.status == OK:
                self._trouble = ""
                await self._on_thread(self._store.finish, event.number, Fate.SENT)
                return
            self._trouble = answer.trouble
            facts = {"event": event.event_id, "attempts": attempts, "why": answer.trouble}
            if answer.status == GONE:
                log.error("receiver of callbacks is gone; nothing more is sent", extra=facts)
                await self._on_thread(self._store.stop)
                return
            if since_unix_s is None:
                since_unix_s = self._now_unix_s()
                await self._on_thread(self._store.fails, event.number, since_unix_s)
            age_s = self._now_unix_s() - since_unix_s
            pause_s = wait_s(attempts, age_s, self._rng.random)
            if pause_s is None:
                log.error("callback is given up", extra=facts)
                await self._on_thread(self._store.finish, event.number, Fate.GIVEN_UP)
                return
            log.warning("callback failed", extra=facts)
            if answer.retry_after_s is not None:
                pause_s = told_s(answer.retry_after_s)
            self._due_ns = self._clock.now_ns() + round(pause_s * NS_PER_S)
            await self._clock.sleep_until_ns(self._due_ns)

    def _now_unix_s(self) -> float:
        """The wall clock as it was when we began plus what went by: it may be set meanwhile."""
        return self._opened_unix_s + (self._clock.now_ns() - self._opened_ns) / NS_PER_S

    async def _on_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


@asynccontextmanager
async def open_outbox(
    directory: Path,
    *,
    events: frozenset[CallbackEvent],
    body: Callable[[RecordEvent], bytes],
    post: Post,
    clock: Clock,
    unix_s: Callable[[], float],
    rng: Random,
) -> AsyncIterator[Outbox]:
    """The outbox whose events are kept in *directory*, with what an earlier process left there.

    *unix_s* is the wall clock; of *events* alone the receiver is told. Raises
    `DestinationError` when the directory cannot be had. Once
    the job is over and everything is delivered, the target kept there is forgotten.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, "events")
    try:
        store = await loop.run_in_executor(thread, EventStore, directory)
        try:
            outbox = Outbox(
                store,
                events=events,
                body=body,
                post=post,
                clock=clock,
                unix_s=unix_s,
                rng=rng,
                thread=thread,
            )
            try:
                yield outbox
            finally:
                if outbox.is_over and not outbox.pending and not outbox.given_up:
                    await loop.run_in_executor(thread, forget_target, directory)
        finally:
            # Behind whatever a cancelled call has left on the thread.
            await loop.run_in_executor(thread, store.close)
    finally:
        thread.shutdown(wait=False)


def identity_of(event: RecordEvent) -> tuple[CallbackEvent, str]:
    """What kind of event it is, and its id.

    The same for the same event, whoever publishes it: a recorder, or who finished its work.
    """
    match event:
        case FileStarted(file):
            kind, job_id, file_id = CallbackEvent.FILE_STARTED, file.job_id, file.file_id
        case FileCompleted(file=file):
            kind, job_id, file_id = CallbackEvent.FILE_COMPLETED, file.job_id, file.file_id
        case RecordingOver(job_id=job_id):
            kind, file_id = CallbackEvent.RECORDING_OVER, ""
    name = "\0".join((kind.value, job_id, file_id))
    return kind, hashlib.sha256(name.encode()).hexdigest()[:32]
