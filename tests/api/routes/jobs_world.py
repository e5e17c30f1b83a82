"""A served API of jobs and rooms over real records, with two accounts that know of each other."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler

from tests.fakes.orders import StoredOrders
from worker.api.requests import ACCOUNT
from worker.api.routes.individual_jobs import IndividualJobs
from worker.api.routes.job_creation import JobsContext
from worker.api.routes.mix_jobs import MixJobs
from worker.api.routes.rooms import Rooms
from worker.api.server import api_application
from worker.core.lifecycle import State, StopReason
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account, App, AppState, JobRecord, Json, Rule
from worker.net.reach import Reach

NOW_UNIX_MS = 1_618_590_164_075
"""2021-04-16T16:22:44.075Z."""
NOW = "2021-04-16T16:22:44Z"
ROOM = {"kind": "testroom", "url": "ws://127.0.0.1:8080/ws"}

ANN = Account("a" * 32, "ann", NOW_UNIX_MS)
BOB = Account("b" * 32, "bob", NOW_UNIX_MS)
RULE_BODY: Json = {
    "obs_addr": {"location": "cn-north-4", "bucket": "records", "object": "Record/"},
    "record_formats": ["MP4"],
    "mp4_config": {"record_cycle": 7200, "record_max_duration_to_merge_file": 0},
}


def app_of(account: Account, app_id: str) -> App:
    return App(
        app_id=app_id,
        account_id=account.account_id,
        name=app_id,
        state=AppState.ACTIVE,
        state_unix_ms=NOW_UNIX_MS,
        created_unix_ms=NOW_UNIX_MS,
        app_key="app key",
    )


APP = "607a1b2c3d4e5f6071829304"
FOREIGN_APP = "707a1b2c3d4e5f6071829304"
RULES = {name: number * 32 for number, name in (("1", "RULE"), ("2", "OTHER"), ("3", "FOREIGN"))}


@dataclass
class Keeper:
    """A room server with one room."""

    room_id: str = "room001"
    dismissed: list[str] = field(default_factory=list)
    removed: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    async def dismiss(self, room_id: str) -> bool:
        self.dismissed.append(room_id)
        return room_id == self.room_id

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        self.removed.append((room_id, user_ids))


@dataclass
class Reply:
    """What the server answered."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> int:
        """Last digits of the error code."""
        return int(self.body["error_code"].removeprefix("RTC.0000"))


@dataclass
class World:
    """*account* is who calls."""

    url: str
    records: Records
    session: ClientSession
    keepers: dict[str, Keeper]
    clock: list[int]
    account: Account = ANN

    def begin(self) -> None:
        """What one test has done the next shall not see, but for jobs and records."""
        self.account = ANN
        self.clock[0] = NOW_UNIX_MS
        self.keepers.clear()

    async def call(
        self, method: str, path: str, body: object = None, *, raw: str | None = None
    ) -> Reply:
        text = raw if raw is not None else None if body is None else json.dumps(body)
        async with self.session.request(
            method,
            f"{self.url}/v2/apps/{path}",
            data=None if text is None else text.encode(errors="surrogatepass"),
            headers={"X-Test-Account": self.account.name, "Content-Type": "application/json"},
        ) as answer:
            assert answer.headers["X-request-Id"]
            return Reply(answer.status, await answer.text())

    async def mix(self, body: object, app: str = APP) -> Reply:
        return await self.call("POST", f"{app}/mix-stream-jobs", body)

    async def individual(self, body: object, app: str = APP) -> Reply:
        return await self.call("POST", f"{app}/individual-stream-jobs", body)

    async def job(self, job_id: str) -> JobRecord:
        job = await self.records.any_job(job_id)
        assert job is not None
        return job

    async def change(self, job_id: str, **changes: Any) -> None:
        await self.records.change_job(job_id, lambda job: replace(job, **changes))

    async def is_running(self, job_id: str) -> None:
        await self.change(job_id, state=State.RUNNING, started_unix_ms=self.clock[0] + 2000)

    async def has_stopped(self, job_id: str, reason: StopReason, description: str = "") -> None:
        await self.change(
            job_id,
            state=State.STOPPED,
            reason=reason,
            description=description,
            stopped_unix_ms=self.clock[0] + 9000,
        )


@asynccontextmanager
async def jobs_world(
    directory: Path,
    *,
    grants_needed: bool = False,
    reach: Reach | None = None,
    most_jobs: int = 10_000,
    room_document: Callable[[str, str], Json] = lambda app_id, room_id: ROOM,
) -> AsyncIterator[World]:
    """Ann has an application and two rules, Bob has one of each."""
    clock = [NOW_UNIX_MS]
    keepers: dict[str, Keeper] = {}
    async with open_records(f"sqlite:///{directory}/records.db", seal=Seal([b"k" * 32])) as records:
        await _fill(records)
        context = JobsContext(
            records=records,
            orders=StoredOrders(records, quota=most_jobs, unix_ms=lambda: clock[0]),
            room_document=room_document,
            unix_ms=lambda: clock[0],
            reach=reach or Reach(),
            grants_needed=grants_needed,
        )
        operations = (
            *MixJobs(context).operations(),
            *IndividualJobs(context).operations(),
            *Rooms(records=records, keeper_for=keepers.get).operations(),
        )
        application = api_application(operations, middlewares=[_who])
        async with TestServer(application) as server, ClientSession() as session:
            yield World(str(server.make_url("")).rstrip("/"), records, session, keepers, clock)


async def _fill(records: Records) -> None:
    for account in (ANN, BOB):
        await records.add_account(account)
    await records.add_app(app_of(ANN, APP), quota=9)
    await records.add_app(app_of(BOB, FOREIGN_APP), quota=9)
    for name, account, app_id, location in (
        ("RULE", ANN, APP, "cn-north-4"),
        ("OTHER", ANN, APP, "cn-north-1"),
        ("FOREIGN", BOB, FOREIGN_APP, "cn-north-4"),
    ):
        obs_addr = {**RULE_BODY["obs_addr"], "location": location}
        await records.put_rule(
            account.account_id,
            Rule(
                rule_id=RULES[name],
                app_id=app_id,
                location=location,
                body={**RULE_BODY, "obs_addr": obs_addr},
                created_unix_ms=NOW_UNIX_MS,
                updated_unix_ms=NOW_UNIX_MS,
            ),
        )


@web.middleware
async def _who(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Believes everybody; the SDK names the account as access key."""
    name = request.headers.get("X-Test-Account")
    if name is None:
        name = request.headers["Authorization"].partition("Access=")[2].partition(",")[0]
    request[ACCOUNT] = {account.name: account for account in (ANN, BOB)}[name]
    return await handler(request)


def grid(**changes: object) -> dict[str, Any]:
    """The first example of the API pages."""
    mix: Mapping[str, object] = {
        "room_id": "room001",
        "encode_template": "1280x720_15_2260",
        "max_idle_time": 30,
        "layout_template": "nine_grids_view",
    }
    return {"mix_param": {**mix, **changes}, "record_param": {"record_rule_id": RULES["RULE"]}}


def solo(**changes: object) -> dict[str, Any]:
    """One user, with the defaults of everything."""
    asked = {
        "room_id": "room001",
        "user_id": "ann",
        "record_param": {"record_rule_id": RULES["RULE"]},
    }
    return {**asked, **changes}
