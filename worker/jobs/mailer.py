"""Sends callbacks from the records: each job's in order, no job waiting for another's receiver."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random

from worker.core.spec import CallbackSpec
from worker.errors import NotFound, RecordsDown
from worker.jobs.ports import Records
from worker.jobs.values import Message
from worker.notify.event_store import StoredEvent
from worker.notify.post import GONE, OK, Answer, Post
from worker.notify.schedule import told_s, wait_s

log = logging.getLogger(__name__)

LOOK_S = 0.5
MOST_AT_ONCE = 32
"""Messages under way; others wait in the records."""


class Mailer:
    """Runs beside the reconciler, on the same lease."""

    def __init__(
        self,
        records: Records,
        *,
        post_to: Callable[[CallbackSpec], Post],
        is_leader: Callable[[], bool],
        unix_ms: Callable[[], int],
        rng: Random,
    ) -> None:
        self._records = records
        self._post_to = post_to
        self._is_leader = is_leader
        self._unix_ms = unix_ms
        self._rng = rng
        self._changed = asyncio.Event()
        self._underway: set[str] = set()

    def wake(self) -> None:
        """There is a new message."""
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled; what is under way then is sent again by whoever comes next."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                if self._is_leader():
                    await self._begin(group)
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass  # something may have become due

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        # As it is now: what is sent while the records are asked may be in their answer still.
        underway = frozenset(self._underway)
        try:
            due = await self._records.due_messages(self._unix_ms(), 2 * MOST_AT_ONCE)
        except RecordsDown as exc:
            log.error("the database does not answer", extra={"why": str(exc)})
            return
        free = [message for message in due if message.job_id not in underway]
        for message in free[: MOST_AT_ONCE - len(self._underway)]:
            self._underway.add(message.job_id)
            group.create_task(self._send(message), name=f"callback:{message.job_id}")

    async def _send(self, message: Message) -> None:
        try:
            answer = await self._attempt(message)
            if answer is None:
                await self._records.finish_message(message.number, was_sent=False)
            elif answer.status == OK:
                await self._records.finish_message(message.number, was_sent=True)
            else:
                await self._postpone(message, answer)
        except RecordsDown as exc:
            # Sent perhaps, and sent again: the receiver knows it by its event id.
            log.error("the database does not answer", extra={"why": str(exc)})
        finally:
            self._underway.discard(message.job_id)
            self.wake()

    async def _attempt(self, message: Message) -> Answer | None:
        """None when nobody wants it."""
        try:
            app = await self._records.app(message.account_id, message.app_id)
        except NotFound:
            return None
        if app.callback is None or not app.callback.url:
            return None
        receiver = CallbackSpec(app.callback.url, app.callback.auth_key or None)
        post: Callable[[StoredEvent], Awaitable[Answer]] = self._post_to(receiver)
        return await post(StoredEvent(message.number, message.event_id, message.body))

    async def _postpone(self, message: Message, answer: Answer) -> None:
        now_ms = self._unix_ms()
        attempts = message.attempts + 1
        failing_ms = message.failing_unix_ms or now_ms
        pause_s = wait_s(attempts, (now_ms - failing_ms) / 1000, self._rng.random)
        facts = {"job": message.job_id, "event": message.event_id, "why": answer.trouble}
        if pause_s is None or answer.status == GONE:
            log.error("callback is given up", extra=facts)
            await self._records.finish_message(message.number, was_sent=False)
            return
        log.warning("callback failed", extra=facts)
        if answer.retry_after_s is not None:
            pause_s = told_s(answer.retry_after_s)
        await self._records.delay_message(
            message.number,
            attempts=attempts,
            failing_unix_ms=failing_ms,
            due_unix_ms=now_ms + round(1000 * pause_s),
        )
