"""Control planes that die, stand still or are two; workers that die; databases that are locked.

Real servers in processes of their own, real databases, real lines; the workers are cheap ones.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cheap_worker import EVENTS, Diary, diaries
from tests.support.kill_points import ForkedPlane, Nursery, nursery
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.receiver import Receiver, served
from tests.support.tcp_faults import TcpLink, tcp_link
from tests.support.waiting import until
from worker.api.auth.tokens import Tokens
from worker.app.keys import control_keys
from worker.core.lifecycle import State
from worker.jobs.ports import Records
from worker.jobs.reconciler import LEASE
from worker.jobs.records import Seal, open_records
from worker.jobs.values import (
    AccessKey,
    Account,
    App,
    AppState,
    JobRecord,
    RecordCallback,
    Rule,
)
from worker.settings import ControlSettings

ACCOUNT, APP, RULE = "a" * 32, "b" * 24, "c" * 32
AK, SK = "AKTEST", "SKTEST-secret"
AUTH_KEY = "planted-auth-key-0123456789abcdef0123"
JOBS = f"/v2/apps/{APP}/mix-stream-jobs"
ADDRESS = {"location": "here", "project_id": "p", "bucket": "records", "object": "records/"}
KILL_POINTS = (
    "after the job is stored",
    "before the reply to a create",
    "before the worker is spawned",
    "after the spawn",
    "after an event is stored",
    "before a callback is marked",
)
MORE_KILL_POINTS = (
    "before the job is stored",
    "before the worker is numbered",
    "after the launch",
    "before the worker's state is stored",
    "after a callback is marked",
)
POINTS_OF_AN_ORDER = (
    "before the reply to an update",
    "before the reply to a stop",
    "before the last word",
    "after the last word",
    "before a worker is forgotten",
    "after a worker is forgotten",
)
TAKEN_OVER_S = 5.0
TOLD_S = 1.0
NO_ORPHANS_S = 30.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Nursery]:
    with nursery() as process:
        yield process


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@dataclass
class World:
    """One database, one directory of workers, and the control planes on them."""

    forks: Nursery
    directory: Path
    records: Records
    token: str
    receiver: Receiver
    session: aiohttp.ClientSession
    settings: Mapping[str, str]
    planes: list[ForkedPlane] = field(default_factory=list)

    @property
    def control(self) -> Path:
        return self.directory / "control"

    async def start(self, port: int, **fork: Any) -> ForkedPlane:
        log = self.directory / f"plane-{len(self.planes)}.log"
        plane = self.forks.fork({**self.settings, "MIXWORKER_API__PORT": str(port)}, log, **fork)
        self.planes.append(plane)
        await plane.ready()
        return plane

    async def expire_lease(self) -> None:
        """As if the lease of one that was killed had run out."""
        later_ms = round(time.time() * 1000) + 60_000
        await self.records.take_lease(LEASE, "nobody", now_unix_ms=later_ms, until_unix_ms=0)

    async def call(
        self, plane: ForkedPlane, method: str, path: str, body: object = None
    ) -> tuple[int, Any]:
        headers = {"X-Auth-Token": self.token}
        async with self.session.request(
            method, plane.url + path, json=body, headers=headers
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def create(self, plane: ForkedPlane, key: str) -> JobRecord:
        status, job = await self.call(plane, "POST", JOBS, order(key))
        assert status == 201, job
        return await self.job(job["job_id"])

    async def job(self, job_id: str) -> JobRecord:
        job = await self.records.any_job(job_id)
        assert job is not None
        return job

    async def having(self, key: str) -> list[JobRecord]:
        return [job for job in await self.records.jobs(ACCOUNT, size=9999) if job.unique_id == key]

    async def becomes(self, job_id: str, holds: Callable[[JobRecord], bool]) -> None:
        async with asyncio.timeout(30):
            while True:
                if holds(await self.job(job_id)):
                    return
                await asyncio.sleep(0.02)

    async def running(self, job_id: str) -> Diary:
        """The worker of a job that is RUNNING, the only one that lives."""
        await self.becomes(job_id, lambda job: job.state is State.RUNNING)
        [worker] = self.living(job_id)
        return worker

    def living(self, job_id: str = "*") -> list[Diary]:
        return [each for each in diaries(self.control / "results", job_id) if each.is_alive()]

    async def empty(self) -> None:
        """Wait until no worker lives."""
        await until(lambda: not self.living(), NO_ORPHANS_S)

    async def told(self, job_id: str) -> list[str]:
        """Types of the events of a job that the receiver accepted, each event once."""
        await until(lambda: EVENTS[-1] in self.events(job_id))
        return self.events(job_id)

    def events(self, job_id: str) -> list[str]:
        of_job = [call for call in self.receiver.accepted if call.body["job_id"] == job_id]
        first = {call.event_id: call.body["event_type"] for call in reversed(of_job)}
        return list(reversed(first.values()))


def order(key: str) -> dict[str, Any]:
    return {
        "mix_param": {
            "room_id": "boardroom",
            "encode_template": "640x480_15_500",
            "layout_template": "custom",
            "layout_panes": [pane("nobody")],
        },
        "record_param": {"record_rule_id": RULE},
        "job_uniq_id": key,
    }


def pane(user_id: str) -> dict[str, Any]:
    return {"id": 1, "user_id": user_id, "x": 0, "y": 0, "width": 1, "height": 1, "zorder": 0}


def layout(user_id: str) -> dict[str, Any]:
    return {"mix_param": {"layout_panes": [pane(user_id)]}}


def shown(mix: Any) -> str:
    user_id: str = mix["layout_panes"][0]["user_id"]
    return user_id


async def heard(worker: Diary, user_id: str) -> float:
    """When *worker* was told to show that user."""

    def told() -> list[float]:
        return [at_s for at_s, mix in worker.mixes() if shown(mix) == user_id]

    await until(told)
    return told()[0]


@asynccontextmanager
async def world(
    forks: Nursery, directory: Path, *, database: str = "", **more: str
) -> AsyncIterator[World]:
    """A tenant with an application, a rule and a callback; everything is dead afterwards."""
    control = directory / "control"
    keys = control_keys(ControlSettings(directory=str(control)))
    url = database or f"sqlite:///{control}/control.db"
    receiver = Receiver(auth_key=AUTH_KEY)
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(open_records(url, seal=Seal(keys.seals)))
        await stack.enter_async_context(served(receiver))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        )
        around = World(
            forks=forks,
            directory=directory,
            records=records,
            token=await furnished(records, receiver.url),
            receiver=receiver,
            session=session,
            settings={
                "MIXWORKER_CONTROL__DIRECTORY": str(control),
                "MIXWORKER_CONTROL__DATABASE": url,
                "MIXWORKER_CONTROL__CORES": "1000",
                "MIXWORKER_CONTROL__MEMORY_MB": "1000000",
                "MIXWORKER_NET__ALLOW": "127.0.0.0/8",
                "MIXWORKER_LOG__LEVEL": "info",
                **more,
            },
        )
        try:
            yield around
        except BaseException:
            for plane in around.planes:
                print(plane.log.read_text()[-5000:])
            raise
        finally:
            for plane in around.planes:
                plane.kill()
                os.close(plane.handle)
            for worker in around.living():
                os.kill(worker.pid, signal.SIGKILL)


async def furnished(records: Records, callback_url: str) -> str:
    """A token of the tenant that was made."""
    now_ms = round(time.time() * 1000)
    await records.add_account(Account(ACCOUNT, "tenant", now_ms))
    await records.add_key(AccessKey(AK, ACCOUNT, SK, now_ms))
    await records.add_app(
        App(APP, ACCOUNT, "app", AppState.ACTIVE, now_ms, now_ms, "key"), quota=20
    )
    body = {"obs_addr": ADDRESS, "record_formats": ["MP4"], "mp4_config": {}}
    await records.put_rule(ACCOUNT, Rule(RULE, APP, "here", body, now_ms, now_ms))
    await records.set_callback(ACCOUNT, APP, RecordCallback(callback_url, AUTH_KEY, now_ms))
    text, _ = await Tokens(records=records, unix_ms=lambda: now_ms).issue(ACCOUNT)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def killed_while_creating(around: World, port: int, point: str) -> str:
    """The job whose creation was interrupted at *point* and then asked for again."""
    key = point.replace(" ", "-").replace("'", "")
    plane = await around.start(port, point=point)
    acknowledged = None
    try:
        status, answer = await around.call(plane, "POST", JOBS, order(key))
        assert status == 201
        acknowledged = answer["job_id"]
    except aiohttp.ClientError:
        pass  # it died before it answered
    await plane.died()
    stored = [job.job_id for job in await around.having(key)]
    await around.expire_lease()
    plane = await around.start(port)
    status, answer = await around.call(plane, "POST", JOBS, order(key))
    if stored:
        assert (status, answer["error_code"]) == (400, "RTC.00001006"), "it runs"
    else:
        assert status == 201
        stored = [answer["job_id"]]
    [job] = await around.having(key)
    assert [job.job_id] == stored and acknowledged in (None, job.job_id)
    await around.running(job.job_id)
    # What it began is seen to the end by this one, or by the next one.
    plane.kill()
    await plane.died()
    await around.expire_lease()
    return job.job_id


async def stopped(around: World, plane: ForkedPlane, job_ids: list[str]) -> None:
    """Stop these jobs, and see that each had one worker, and told everything once."""
    for job_id in job_ids:
        assert (await around.call(plane, "DELETE", f"{JOBS}/{job_id}"))[0] == 204
    await around.empty()
    for job_id in job_ids:
        assert await around.told(job_id) == list(EVENTS)
        await around.becomes(job_id, lambda job: job.is_over)
        job = await around.job(job_id)
        assert (job.attempt, job.failures) == (1, 0)
        assert [each.attempt for each in diaries(around.control / "results", job_id)] == [1]
    assert all(call.signed for call in around.receiver.calls)


@pytest.mark.timeout(240)
async def test_a_kill_at_any_named_point_of_a_create_loses_and_doubles_nothing(
    forks: Nursery, tmp_path: Path
) -> None:
    async with world(forks, tmp_path) as around:
        port = free_port()
        jobs = [await killed_while_creating(around, port, point) for point in KILL_POINTS]
        last = await around.start(port)
        await stopped(around, last, jobs)
        sent = Counter(call.body["event_type"] for call in around.receiver.calls)
        # What was sent when it died, not marked yet, is sent again: of this job or an earlier one.
        assert sent.pop(EVENTS[0]) > len(jobs)
        assert sent == dict.fromkeys(EVENTS[1:], len(jobs))
        ids = Counter(call.event_id for call in around.receiver.calls)
        assert len(ids) == len(EVENTS) * len(jobs), "it is known by its id"


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_kill_at_any_other_point_loses_and_doubles_nothing(
    forks: Nursery, tmp_path: Path
) -> None:
    async with world(forks, tmp_path) as around:
        port = free_port()
        jobs = [await killed_while_creating(around, port, point) for point in MORE_KILL_POINTS]
        for point in POINTS_OF_AN_ORDER:
            plane = await around.start(port)
            job = await around.create(plane, point.replace(" ", "-"))
            worker = await around.running(job.job_id)
            for job_id in jobs[len(MORE_KILL_POINTS) :]:
                await around.becomes(job_id, lambda job: job.is_live or job.is_over)
            plane.kill()
            await plane.died()
            await around.expire_lease()
            plane = await around.start(port, point=point)
            path = f"{JOBS}/{job.job_id}"
            method, body = ("PUT", layout("somebody")) if "update" in point else ("DELETE", None)
            try:
                await around.call(plane, method, path, body)
            except aiohttp.ClientError:
                pass  # it died before it answered
            await plane.died()
            assert (await around.job(job.job_id)).is_live is (method == "PUT")
            if method == "PUT":
                await around.expire_lease()
                plane = await around.start(port)
                await heard(worker, "somebody")
                plane.kill()
                await plane.died()
            jobs.append(job.job_id)
            await around.expire_lease()
        await stopped(around, await around.start(port), jobs)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_thousand_creates_through_kills_at_any_moment_are_a_thousand_jobs(
    forks: Nursery, tmp_path: Path
) -> None:
    rng = random.Random(6)
    async with world(forks, tmp_path, MIXWORKER_CONTROL__JOBS_PER_ACCOUNT="2000") as around:
        port = free_port()
        for part in range(100):
            plane = await around.start(port)
            keys = [f"key-{part}-{n}" for n in range(10)]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(acknowledged(around, port, key)) for key in keys]
                await asyncio.sleep(rng.uniform(0, 0.4))
                plane.kill()
                await plane.died()
                await around.expire_lease()
                plane = await around.start(port)
            jobs = []
            for key, task in zip(keys, tasks, strict=True):
                [job] = await around.having(key)
                assert task.result() in (None, job.job_id)
                await around.running(job.job_id)
                jobs.append(job.job_id)
            await stopped(around, plane, jobs)
            plane.kill()
            await plane.died()
            await around.expire_lease()


async def acknowledged(around: World, port: int, key: str) -> str | None:
    """The job that was created; None when we only know that it runs."""
    plane = ForkedPlane(-1, Path(), f"http://127.0.0.1:{port}")
    while True:
        try:
            status, answer = await around.call(plane, "POST", JOBS, order(key))
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
            continue
        if status == 201:
            return str(answer["job_id"])
        assert answer["error_code"] == "RTC.00001006", answer
        return None


@dataclass
class Pair:
    """Two control planes behind a forwarder that workers dial."""

    around: World
    leader: ForkedPlane
    follower: ForkedPlane
    link: TcpLink


@asynccontextmanager
async def pair(forks: Nursery, directory: Path, postgres: PostgresServer) -> AsyncIterator[Pair]:
    database = f"planes_{directory.name}".replace("-", "_").lower()
    postgres.sql(f"CREATE DATABASE {database}")
    first, second = free_port(), free_port()
    async with (
        tcp_link(f"http://127.0.0.1:{first}") as (link, workers_url),
        world(
            forks,
            directory,
            database=postgres.url(database),
            MIXWORKER_CONTROL__WORKER_URL=workers_url,
        ) as around,
    ):
        leader = await around.start(first)
        await leads(leader)
        yield Pair(around, leader, await around.start(second), link)


async def leads(plane: ForkedPlane, within_s: float = 20) -> None:
    await until(lambda: ": leads" in plane.log.read_text(), within_s)


@pytest.mark.timeout(180)
async def test_of_two_control_planes_one_acts_and_when_it_dies_the_other_does(
    forks: Nursery, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with pair(forks, tmp_path, postgres) as planes:
        around, leader, follower = planes.around, planes.leader, planes.follower
        # Asked of the one that does not act.
        job = await around.create(follower, "first")
        path = f"{JOBS}/{job.job_id}"
        worker = await around.running(job.job_id)
        assert ": leads" not in follower.log.read_text()
        # The line leads to the other one.
        for n, plane in enumerate((follower, leader, follower, follower)):
            status, _ = await around.call(plane, "PUT", path, layout(f"user-{n}"))
            assert status == 200
            answered_s = time.time()
            assert await heard(worker, f"user-{n}") - answered_s < TOLD_S
        leader.kill()
        killed_s = time.time()
        planes.link.lead_to(follower.url)
        await leads(follower, TAKEN_OVER_S)
        status, _ = await around.call(follower, "PUT", path, layout("user-9"))
        assert status == 200
        # A line that was cut is dialled again, sooner or later.
        await heard(worker, "user-9")
        status, _ = await around.call(follower, "PUT", path, layout("user-10"))
        assert await heard(worker, "user-10") - time.time() < TOLD_S
        other = await around.create(follower, "second")
        await around.running(other.job_id)
        assert [each.pid for each in around.living(job.job_id)] == [worker.pid], "unharmed"
        print(f"working again {time.time() - killed_s:.1f} s after the kill")
        await stopped(around, follower, [job.job_id, other.job_id])


@pytest.mark.timeout(180)
async def test_a_hundred_creates_at_once_with_one_key_give_one_job(
    forks: Nursery, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with pair(forks, tmp_path, postgres) as planes:
        around, both = planes.around, (planes.leader, planes.follower)
        token = {"X-Auth-Token": around.token}
        by_token = await at_once(around, "by-token", [(each, token) for each in both * 50])
        signed = [(plane, signature(plane, "by-key", age_s=n)) for n in range(50) for plane in both]
        by_key = await at_once(around, "by-key", signed)
        same = [(plane, signature(plane, "same", age_s=0)) for plane in both]
        repeated = await at_once(around, "same", same * 50)
        for answers, key in ((by_token, "by-token"), (by_key, "by-key"), (repeated, "same")):
            [job] = await around.having(key)
            created = [answer for status, answer in answers if status == 201]
            assert {answer["job_id"] for answer in created} == {job.job_id}
            refused = [answer for status, answer in answers if status == 400]
            assert {answer["error_code"] for answer in refused} == {"RTC.00001006"}
            assert len(created) + len(refused) == 100
            await around.running(job.job_id)
            if key != "same":
                assert len(created) == 1
            else:
                # Sent again with the same signature: the first answer again. The other control
                # plane has another address, which is signed too.
                assert len(created) == len(refused) == 50
        assert len(around.living()) == 3


async def at_once(
    around: World, key: str, requests: list[tuple[ForkedPlane, Mapping[str, str]]]
) -> list[tuple[int, Any]]:
    async def post(plane: ForkedPlane, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with around.session.post(
            plane.url + JOBS, data=json.dumps(order(key)), headers=headers
        ) as response:
            return response.status, await response.json()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(post(*each)) for each in requests]
    return [task.result() for task in tasks]


def signature(plane: ForkedPlane, key: str, *, age_s: int) -> dict[str, str]:
    """Headers of a create as the official SDK signs it."""
    from tests.api.auth.signing import sdk_signer

    wire = sdk_signer()(
        "POST",
        JOBS,
        unix_ms=round(time.time() * 1000) - age_s * 1000,
        body=json.dumps(order(key)).encode(),
        ak=AK,
        sk=SK,
        host=plane.url.removeprefix("http://"),
    )
    return {name.decode(): value.decode() for name, value in wire.headers}


@pytest.mark.timeout(180)
async def test_stops_and_updates_at_odd_moments(forks: Nursery, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as around:
        plane = await around.start(free_port())
        # While the worker is being started.
        job = await around.create(plane, "in-init")
        path = f"{JOBS}/{job.job_id}"
        assert (await around.call(plane, "PUT", path, layout("x")))[1]["error_code"] == (
            "RTC.00001022"
        )
        assert (await around.call(plane, "DELETE", path))[0] == 204
        assert (await around.call(plane, "GET", path))[1]["state"] == "STOPPED"
        assert (await around.call(plane, "PUT", path, layout("x")))[1]["error_code"] == (
            "RTC.00001009"
        )
        # Fifty times at once.
        job = await around.create(plane, "fifty")
        await around.running(job.job_id)
        path = f"{JOBS}/{job.job_id}"
        async with asyncio.TaskGroup() as group:
            stops = [group.create_task(around.call(plane, "DELETE", path)) for _ in range(50)]
        assert {stop.result()[0] for stop in stops} == {204}
        await around.empty()
        assert await around.told(job.job_id) == list(EVENTS)
        # An update for a dead worker.
        job = await around.create(plane, "update")
        worker = await around.running(job.job_id)
        os.kill(worker.pid, signal.SIGKILL)
        path = f"{JOBS}/{job.job_id}"
        assert (await around.call(plane, "PUT", path, layout("late")))[0] == 200
        await until(lambda: [each.attempt for each in around.living(job.job_id)] == [2])
        [worker] = around.living(job.job_id)
        began_s = worker.lines()[0]["at"]
        assert await heard(worker, "late") - began_s < TOLD_S
        # A stop while a dead worker is replaced.
        os.kill(worker.pid, signal.SIGKILL)
        assert (await around.call(plane, "DELETE", path))[0] == 204
        await around.empty()
        await asyncio.sleep(1.5)  # two looks more
        assert around.living() == []
        assert (await around.job(job.job_id)).state is State.STOPPED


@pytest.mark.timeout(180)
async def test_a_launcher_that_is_down_and_a_database_that_is_locked_harm_no_job(
    forks: Nursery, tmp_path: Path
) -> None:
    async with world(forks, tmp_path) as around:
        port = free_port()
        plane = await around.start(port)
        with no_launcher(around.control):
            waits = await around.create(plane, "no-launcher")
            await asyncio.sleep(1)
            assert (await around.job(waits.job_id)).state is State.INIT
        job = await around.create(plane, "before-the-lock")
        workers = [await around.running(each.job_id) for each in (waits, job)]
        path = f"{JOBS}/{job.job_id}"
        with locked(around.control / "control.db"):
            assert (await around.call(plane, "GET", path))[1]["state"] == "RUNNING"
            update = asyncio.create_task(around.call(plane, "PUT", path, layout("locked")))
            await asyncio.sleep(3)
            assert not update.done()
        assert (await update)[0] == 200
        assert await heard(workers[1], "locked") - time.time() < TOLD_S
        plane.kill()
        await plane.died()
        impatient = await around.start(port, patience_s=0.5)
        with locked(around.control / "control.db"):
            status, refusal = await around.call(impatient, "PUT", path, layout("late"))
            assert (status, refusal["error_code"]) == (500, "RTC.00002002")
            assert (await around.call(impatient, "GET", path))[1]["state"] == "RUNNING"
            await asyncio.sleep(1.5)
        assert {each.pid for each in around.living()} == {each.pid for each in workers}
        await stopped(around, impatient, [waits.job_id, job.job_id])
        assert "late" not in [shown(mix) for _, mix in workers[1].mixes()]
        assert "Traceback" not in plane.log.read_text() + impatient.log.read_text()


@contextmanager
def no_launcher(control: Path) -> Iterator[None]:
    """A file is where the launcher's directory should be."""
    workers, aside = control / "workers", control / "aside"
    if workers.exists():
        workers.rename(aside)
    workers.touch()
    yield
    workers.unlink()
    if aside.exists():
        aside.rename(workers)


@contextmanager
def locked(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
