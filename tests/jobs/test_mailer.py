"""Callbacks leave the records in each job's order, however receivers behave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.jobs.control import ACCOUNT, APP, Control, control, job_record
from worker.core.spec import CallbackSpec
from worker.jobs.mailer import Mailer
from worker.jobs.values import Message, RecordCallback
from worker.notify.event_store import StoredEvent
from worker.notify.post import Answer

ONE, TWO = "1" * 32, "2" * 32
URL = "https://receiver.example/hook"


@dataclass
class Receiver:
    """Answers as it is told; by job, for bodies begin with it."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    got: list[bytes] = field(default_factory=list)
    targets: list[CallbackSpec] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_slow: set[str] = field(default_factory=set)

    def post_to(self, target: CallbackSpec) -> "Receiver":
        self.targets.append(target)
        return self

    async def __call__(self, event: StoredEvent) -> Answer:
        job = event.body[:1].decode()
        if job in self.is_slow:
            await asyncio.Event().wait()
        self.got.append(event.body)
        self.arrived.set()
        answers = self.answers.get(job)
        return answers.pop(0) if answers else Answer(200)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self.arrived.clear()
                await self.arrived.wait()


@asynccontextmanager
async def mailing(directory: Path, receiver: Receiver) -> AsyncIterator[tuple[Control, Mailer]]:
    async with control(directory) as plane:
        for job_id in (ONE, TWO):
            await plane.records.add_job(job_record(job_id, plane.wall), rule_id=None, quota=9)
        mailer = Mailer(
            plane.records,
            post_to=receiver.post_to,
            is_leader=lambda: True,
            unix_ms=plane.wall,
            rng=Random(1),
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(mailer.run())
            yield plane, mailer
            running.cancel()


async def add(plane: Control, mailer: Mailer, job_id: str, *bodies: str) -> None:
    for body in bodies:
        event_id = body.encode().hex().ljust(32, "0")
        message = Message(0, event_id, job_id, ACCOUNT, APP, body.encode(), plane.wall())
        assert await plane.records.add_message(message)
    mailer.wake()


async def subscribe(plane: Control, url: str = URL) -> None:
    await plane.records.set_callback(ACCOUNT, APP, RecordCallback(url, "k" * 32, plane.wall()))


async def settled(plane: Control) -> bool:
    async with asyncio.timeout(5):
        while True:
            if not await plane.records.due_messages(1 << 60, 9):
                return True
            await asyncio.sleep(0.01)


async def test_messages_of_a_job_arrive_in_order_signed_with_its_applications_key(
    tmp_path: Path,
) -> None:
    receiver = Receiver()
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await subscribe(plane)
        await add(plane, mailer, ONE, "1a", "1b", "1c")
        await receiver.has(3)
        assert await settled(plane)
    assert receiver.got == [b"1a", b"1b", b"1c"]
    assert receiver.targets[0] == CallbackSpec(URL, "k" * 32)


async def test_a_receiver_that_fails_holds_back_its_own_job_only_and_gets_all_in_order(
    tmp_path: Path,
) -> None:
    receiver = Receiver({"1": [Answer(500, "HTTP 500"), Answer(None, "refused")]})
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await subscribe(plane)
        await add(plane, mailer, ONE, "1a", "1b")
        await receiver.has(1)
        await add(plane, mailer, TWO, "2a", "2b")
        await receiver.has(3)
        assert sorted(receiver.got) == [b"1a", b"2a", b"2b"]
        plane.wall.now_ms += 1300
        mailer.wake()
        await receiver.has(4)
        plane.wall.now_ms += 1300
        mailer.wake()
        await asyncio.sleep(0.1)
        assert len(receiver.got) == 4, "the second wait is five seconds"
        plane.wall.now_ms += 6000
        mailer.wake()
        await receiver.has(6)
    assert [body for body in receiver.got if body[:1] == b"1"] == [b"1a", b"1a", b"1a", b"1b"]


async def test_a_slow_receiver_does_not_hold_up_others(tmp_path: Path) -> None:
    receiver = Receiver(is_slow={"1"})
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await subscribe(plane)
        await add(plane, mailer, ONE, "1a")
        await add(plane, mailer, TWO, "2a")
        await receiver.has(1)
    assert receiver.got == [b"2a"]


async def test_a_receiver_that_is_gone_is_not_called_again_for_that_message(tmp_path: Path) -> None:
    receiver = Receiver({"1": [Answer(410, "HTTP 410")]})
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await subscribe(plane)
        await add(plane, mailer, ONE, "1a")
        assert await settled(plane)
    assert receiver.got == [b"1a"]


async def test_without_a_callback_nothing_is_sent_and_nothing_waits(tmp_path: Path) -> None:
    receiver = Receiver()
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await add(plane, mailer, ONE, "1a", "1b")
        assert await settled(plane)
    assert receiver.got == []


async def test_a_told_wait_is_kept(tmp_path: Path) -> None:
    receiver = Receiver({"1": [Answer(429, "HTTP 429", retry_after_s=120)]})
    async with mailing(tmp_path, receiver) as (plane, mailer):
        await subscribe(plane)
        await add(plane, mailer, ONE, "1a")
        await receiver.has(1)
        await asyncio.sleep(0.1)
        [waiting] = await plane.records.due_messages(plane.wall() + 121_000, 9)
        assert waiting.due_unix_ms == plane.wall() + 120_000 and waiting.attempts == 1
