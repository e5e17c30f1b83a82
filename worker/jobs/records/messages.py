"""Callbacks that wait, each job's in a line."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, exists, select, update

from worker.errors import NotFound
from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import jobs, messages
from worker.jobs.records.theme import Theme
from worker.jobs.values import Message

_WAITING = "waiting"
_SENT = "sent"
_GIVEN_UP = "given_up"
_WAS_SENT = {_WAITING: None, _SENT: True, _GIVEN_UP: False}


class Messages(Theme):
    """As in `ports.Records`."""

    async def add_message(self, message: Message) -> bool:
        """Raises `NotFound` without such a job."""
        async with self._database.write() as transaction:
            # One at a time per job: with PostgreSQL a number is given before it can be seen, and
            # a later one must not be seen first.
            job = await transaction.execute(
                select(jobs.c.job_id)
                .where(jobs.c.job_id == message.job_id)
                .with_for_update(key_share=True)
            )
            if job.first() is None:
                raise NotFound("no such job")
            row = {
                "event_id": message.event_id,
                "job_id": message.job_id,
                "account_id": message.account_id,
                "app_id": message.app_id,
                "body": message.body,
                "created_unix_ms": message.created_unix_ms,
                "attempts": message.attempts,
                "failing_unix_ms": message.failing_unix_ms,
                "due_unix_ms": message.due_unix_ms,
                "fate": _WAITING,
            }
            return await insert_new(transaction, messages, row)

    async def has_message(self, event_id: str) -> bool:
        async with self._database.read() as transaction:
            known = select(exists().where(messages.c.event_id == event_id))
            return bool((await transaction.execute(known)).scalar_one())

    async def messages(self, job_id: str, *, size: int) -> Sequence[tuple[Message, bool | None]]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(messages)
                .where(messages.c.job_id == job_id)
                .order_by(messages.c.number.desc())
                .limit(size)
            )
            return tuple((_message(row), _WAS_SENT[row.fate]) for row in rows)

    async def due_messages(self, now_unix_ms: int, most: int) -> Sequence[Message]:
        earlier = messages.alias("earlier")
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(messages)
                .where(
                    messages.c.fate == _WAITING,
                    messages.c.due_unix_ms <= now_unix_ms,
                    ~exists().where(
                        earlier.c.fate == _WAITING,
                        earlier.c.job_id == messages.c.job_id,
                        earlier.c.number < messages.c.number,
                    ),
                )
                .order_by(messages.c.due_unix_ms, messages.c.number)
                .limit(most)
            )
            return tuple(_message(row) for row in rows)

    async def delay_message(
        self, number: int, *, attempts: int, failing_unix_ms: int, due_unix_ms: int
    ) -> None:
        async with self._database.write() as transaction:
            await transaction.execute(
                update(messages)
                .where(messages.c.number == number)
                .values(attempts=attempts, failing_unix_ms=failing_unix_ms, due_unix_ms=due_unix_ms)
            )

    async def finish_message(self, number: int, *, was_sent: bool) -> None:
        """The row stays as long as its job, to know the event when it comes again."""
        async with self._database.write() as transaction:
            fate = _SENT if was_sent else _GIVEN_UP
            await transaction.execute(
                update(messages).where(messages.c.number == number).values(fate=fate)
            )


def _message(row: Row[Any]) -> Message:
    return Message(
        number=row.number,
        event_id=row.event_id,
        job_id=row.job_id,
        account_id=row.account_id,
        app_id=row.app_id,
        body=row.body,
        created_unix_ms=row.created_unix_ms,
        attempts=row.attempts,
        failing_unix_ms=row.failing_unix_ms,
        due_unix_ms=row.due_unix_ms,
    )
