"""Concurrent updates and reads of a job are those of a register: as if one came after the other.

The checker is Wing and Gong's search for such an order, with a memo of what was tried (Lowe).
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.jobs.control import ACCOUNT, APP, KEY, Wall, job_record
from tests.support.postgres import PostgresServer, postgres_server
from worker.core.lifecycle import State
from worker.jobs.desk import Desk, Room
from worker.jobs.lines import Lines
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account, App, AppState, JobKind, JobRecord

JOB = "c" * 32
CLIENTS = 10
OPERATIONS = 5
"""Of each client: fifty make a history."""
HISTORIES = 40
"""Of each kind of database."""
MANY_HISTORIES = 1000
READS = 0.6


@dataclass(frozen=True)
class Operation:
    """An update to *layout*, or a read that gave it; began and ended at ticks of one counter."""

    is_update: bool
    layout: int
    updated_unix_ms: int
    began: int
    ended: int


def is_linearizable(history: Sequence[Operation], first: int) -> bool:
    """Whether an order that respects real time explains what was read; *first* was there before.

    The order in which they are given is tried first.
    """
    everything = (1 << len(history)) - 1
    tried: set[tuple[int, int]] = set()
    waiting = [(0, first)]
    while waiting:
        done, layout = waiting.pop()
        if done == everything:
            return True
        if (done, layout) in tried:
            continue
        tried.add((done, layout))
        pending = [(n, each) for n, each in enumerate(history) if not done >> n & 1]
        deadline = min(each.ended for _, each in pending)
        # Those may be next before whose begin nobody who waits had ended.
        possible = [(n, each) for n, each in pending if each.began < deadline]
        explained = [n for n, each in possible if not each.is_update and each.layout == layout]
        if explained:
            # It changes nothing: if there is an order, there is one in which it comes now.
            waiting.append((done | 1 << explained[0], layout))
            continue
        waiting += [
            (done | 1 << n, each.layout) for n, each in reversed(possible) if each.is_update
        ]
    return False


def update(layout: int, began: int, ended: int) -> Operation:
    return Operation(True, layout, 0, began, ended)


def read(layout: int, began: int, ended: int) -> Operation:
    return Operation(False, layout, 0, began, ended)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([], True),
        ([read(0, 0, 1)], True),
        ([read(1, 0, 1)], False),
        ([update(1, 0, 1), read(0, 2, 3)], False),
        ([update(1, 0, 3), read(0, 1, 2)], True),
        ([update(1, 0, 9), read(1, 1, 2), read(0, 3, 4)], False),
        ([update(1, 0, 9), update(2, 0, 9), read(1, 1, 2), read(2, 3, 4)], True),
        ([update(1, 0, 9), update(2, 0, 9), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)], False),
        ([update(1, 0, 1), update(2, 2, 3), read(1, 4, 5)], False),
        ([update(1, 0, 9), read(0, 1, 4), read(1, 2, 3)], True),
    ],
)
def test_the_checker_tells_right_from_wrong(history: list[Operation], verdict: bool) -> None:
    assert is_linearizable(history, 0) is verdict


class WorkersEnd:
    """The socket of a worker that keeps the layouts it is told."""

    def __init__(self) -> None:
        self.layouts: list[int] = []
        self._told = asyncio.Event()

    async def receive(self) -> str | bytes | None:
        await asyncio.Event().wait()
        return None

    async def send(self, text: str) -> None:
        self.layouts.append(json.loads(text)["mix_param"]["layout"])
        self._told.set()

    async def close(self) -> None:
        pass

    async def shows(self, layout: int) -> None:
        async with asyncio.timeout(10):
            while self.layouts[-1:] != [layout]:
                self._told.clear()
                await self._told.wait()


@dataclass
class Plane:
    """What of a control plane takes orders, on records of its own or shared."""

    records: Records
    desk: Desk
    lines: Lines


@dataclass
class Register:
    """A running job, two control planes, and the worker's line to the second one."""

    planes: Sequence[Plane]
    worker: WorkersEnd
    ticks: Iterator[int]
    rng: random.Random
    layouts: Iterator[int]
    order: dict[int, int] = field(default_factory=lambda: {0: 0})
    """When each layout was the newest."""

    async def history(self) -> list[Operation]:
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._client(n)) for n in range(CLIENTS)]
        return list(itertools.chain(*(client.result() for client in clients)))

    async def _client(self, number: int) -> list[Operation]:
        plane = self.planes[number % len(self.planes)]
        operations = []
        for _ in range(OPERATIONS):
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            operations.append(await self._operation(plane))
        return operations

    async def _operation(self, plane: Plane) -> Operation:
        is_update = self.rng.random() >= READS
        began = next(self.ticks)
        if is_update:
            layout = next(self.layouts)
            job = await plane.desk.update(
                ACCOUNT, APP, JobKind.MIX, JOB, lambda job: with_layout(job, layout)
            )
            assert layout_of(job) == layout
        else:
            job = await plane.records.job(ACCOUNT, APP, JobKind.MIX, JOB)
        return Operation(is_update, layout_of(job), job.updated_unix_ms, began, next(self.ticks))


def with_layout(job: JobRecord, layout: int) -> JobRecord:
    """Both what is told of it and what its worker is told."""
    mix = {"room_id": "room1", "layout": layout}
    return replace(job, asked={"mix_param": mix}, document={**job.document, "mix_param": mix})


def layout_of(job: JobRecord) -> int:
    layout: int = job.asked["mix_param"]["layout"]
    assert job.document["mix_param"]["layout"] == layout, "one layout, entirely"
    return layout


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"histories_{tmp_path.name.replace('-', '_')}".lower()
    server.sql(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture
async def register(url: str) -> AsyncIterator[Register]:
    wall = Wall()
    # A file of SQLite is for one control plane.
    processes = 1 if url.startswith("sqlite") else 2
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_records(url, seal=Seal([KEY])))
            for _ in range(processes)
        ]
        planes = [plane_on(records, wall) for records in (opened[0], opened[-1])]
        await opened[0].add_account(Account(ACCOUNT, "tenant", wall()))
        app = App(APP, ACCOUNT, "app", AppState.ACTIVE, wall(), wall(), "key")
        await opened[0].add_app(app, quota=20)
        job = replace(job_record(JOB, wall), attempt=1, state=State.RUNNING)
        await opened[0].add_job(with_layout(job, 0), rule_id=None, quota=1)
        worker = WorkersEnd()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(planes[1].lines.follow()),
            group.create_task(planes[1].lines.serve(JOB, 1, worker)),
        ]
        yield Register(planes, worker, itertools.count(), random.Random(11), itertools.count(1))
        for task in tasks:
            task.cancel()


def plane_on(records: Records, wall: Wall) -> Plane:
    lines = Lines(records, unix_ms=wall, on_change=lambda: None)
    desk = Desk(
        records, room=Room(), needs=lambda job: (1.0, 1), unix_ms=wall, on_change=lines.wake
    )
    return Plane(records, desk, lines)


async def check(register: Register, histories: int) -> None:
    first = known_unix_ms = 0
    for n in range(histories):
        history = await register.history()
        history.sort(key=lambda each: each.updated_unix_ms)
        assert is_linearizable(history, first), history
        updates = [each for each in history if each.is_update]
        for earlier, later in itertools.pairwise(updates):
            assert earlier.updated_unix_ms < later.updated_unix_ms
            assert earlier.began < later.ended, "update_time goes with real time"
        assert updates[0].updated_unix_ms > known_unix_ms
        known_unix_ms = updates[-1].updated_unix_ms
        first = updates[-1].layout
        register.order.update({each.layout: each.updated_unix_ms for each in updates})
        if n % 20 == 0:
            await register.worker.shows(first)
    await register.worker.shows(first)
    told = [register.order[layout] for layout in register.worker.layouts]
    assert told == sorted(told), "the worker never goes back"


@pytest.mark.timeout(400)
async def test_concurrent_updates_and_reads_are_those_of_a_register(register: Register) -> None:
    await check(register, HISTORIES)


@pytest.mark.soak
async def test_many_histories_are_those_of_a_register(register: Register) -> None:
    await check(register, MANY_HISTORIES)
