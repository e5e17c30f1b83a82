"""What is another account's is answered as what never was, and nothing happens to it.

The matrix is made from what is served: each operation and each page of the dashboard, with each
of its ids another account's. Something new that takes ids this file does not know fails it.
"""

import asyncio
import json
import re
import sqlite3
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.fakes.launcher import FakeLauncher
from worker.api.auth import limits
from worker.api.auth.passwords import Passwords
from worker.api.auth.tokens import Tokens
from worker.api.dashboard.routes import WRITE_HEADER
from worker.api.internal import INTERNAL_PREFIX
from worker.api.operation import AnyOperation, Group
from worker.api.wire.app import AppRequest, AutoRecordRequest, CallbackRequest
from worker.api.wire.bucket import GrantRequest
from worker.api.wire.job_request import (
    IndividualJobChange,
    IndividualJobRequest,
    MixJobChange,
    MixJobRequest,
)
from worker.api.wire.room_request import RemoveUsers
from worker.api.wire.rule_resource import RuleRequest
from worker.app import control_plane
from worker.app.keys import control_keys
from worker.core.lifecycle import State
from worker.jobs.ports import Records
from worker.jobs.values import Account, Json
from worker.settings import Settings
from worker.testroom.server import serve_room

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "correct horse battery staple"
PANE = {"id": 1, "user_id": "ann", "x": 0, "y": 0, "width": 1, "height": 1}
RULE = {
    "obs_addr": {"location": "here", "project_id": "p", "bucket": "rec", "object": "r/"},
    "record_formats": ["MP4"],
    "mp4_config": {},
}
RECORD = {"record_rule_id": "{rule_id}"}
MIX = {
    "room_id": "{room_id}",
    "encode_template": "640x480_15_500",
    "layout_template": "custom",
    "layout_panes": [PANE],
}
CHANGED_LAYOUT = {"mix_param": {"layout_panes": [PANE]}}
BODIES: Mapping[type | str, Json] = {
    AppRequest: {"app_name": "{app_name}"},
    RuleRequest: RULE,
    AutoRecordRequest: {"mode": "AUTO_INDIVIDUAL_RECORD", **RECORD},
    CallbackRequest: {"url": "http://127.0.0.1:9/hook"},
    MixJobRequest: {"mix_param": MIX, "record_param": RECORD},
    MixJobChange: CHANGED_LAYOUT,
    IndividualJobRequest: {"room_id": "{room_id}", "user_id": "ann", "record_param": RECORD},
    IndividualJobChange: {"record_param": RECORD},
    RemoveUsers: {"user_ids": ["nobody"]},
    GrantRequest: {"bucket": "rec", "operation": 0, "location": "cn-north-4"},
    "/dashboard/api/apps/{app_id}/jobs/{job_id}/layout": CHANGED_LAYOUT,
}
"""What may be sent, by the model of the body or the path of the page; ids in braces."""
QUERIES = {
    "list_obs_bucket_objects": {"bucket": "rec", "type": "objects", "location": "cn-north-4"},
}

OWNED = ("app_id", "rule_id", "job_id")
"""Ids of what belongs to an account."""
IN_BODIES = {"record_rule_id", "room_id"}
"""Such ids by their names in bodies."""
NOBODYS = {"user_id", "user_ids", "project_id", "job_uniq_id", "name", "attempt", "room_id"}
"""Other names of bodies and paths that look like ids, or name nothing of an account's. A room is
its application's: somebody else's is reached through another's application only."""

IGNORED = {RuleRequest: {"app_id", "rule_id"}}
"""Names that are there because answers may be sent back as they are; nobody reads them."""

NEVER_WAS = {
    "app_id": "0" * 24,
    "rule_id": "0" * 32,
    "job_id": "0" * 32,
    "room_id": "never-was",
    "app_name": "never-was",
}


# --- Two accounts ---------------------------------------------------------------------------


@dataclass
class Tenant:
    """An account and what it has; of jobs, one of each kind."""

    account: Account
    token: str
    room_id: str
    app_id: str = ""
    rule_id: str = ""
    jobs: dict[str, str] = field(default_factory=dict)

    def ids(self, kind: str) -> dict[str, str]:
        return {
            "app_id": self.app_id,
            "rule_id": self.rule_id,
            "job_id": self.jobs.get(kind, ""),
            "room_id": self.room_id,
            "project_id": self.account.account_id,
            "app_name": f"demo of {self.account.name}",
        }

    @property
    def traces(self) -> Sequence[str]:
        """What nobody else is told."""
        return [
            *(self.account.account_id, self.app_id, self.rule_id, self.room_id),
            *self.jobs.values(),
        ]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: str
    took_s: float

    @property
    def seen(self) -> tuple[object, ...]:
        """All that a caller can compare."""
        headers = {name.lower(): text for name, text in self.headers.items()}
        del headers["date"]
        return self.status, headers, self.body.replace(headers.pop("x-request-id"), "…")


@dataclass
class Place:
    """A control plane with two accounts, of which *ann* is curious."""

    url: str
    session: aiohttp.ClientSession
    records: Records
    database: Path
    room_url: str
    operations: Sequence[AnyOperation]
    pages: Sequence[web.RouteDef]
    ann: Tenant
    bob: Tenant

    async def call(
        self,
        tenant: Tenant,
        method: str,
        path: str,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """By token, or for pages by whoever is logged in."""
        sent = {} if path.startswith("/dashboard") else {"X-Auth-Token": tenant.token}
        before_s = time.perf_counter()
        async with self.session.request(
            method,
            self.url + path,
            json=body,
            params=query,
            headers=sent | {WRITE_HEADER: "1"} | dict(headers or {}),
        ) as answer:
            text = await answer.text(errors="replace")
        return Reply(answer.status, dict(answer.headers), text, time.perf_counter() - before_s)

    def rows(self) -> Mapping[str, list[Any]]:
        """Everything on record, but for what time alone changes."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'")
            return {
                name: connection.execute(f"select * from {name}").fetchall()
                for (name,) in tables.fetchall()
                if name != "leases"
            }

    async def people(self) -> Any:
        """Who is in which room."""
        async with self.session.get(self.room_url.replace("ws", "http", 1) + "/../rooms") as answer:
            assert answer.status == 200
            return await answer.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory = tmp_path_factory.mktemp("control")
    served: dict[str, Any] = {}
    launcher = FakeLauncher()

    def application(operations: Iterable[AnyOperation], **more: Any) -> web.Application:
        served.update(more, operations=tuple(operations))
        return build(served["operations"], **more)

    @asynccontextmanager
    async def open_launcher(*_: object) -> AsyncIterator[FakeLauncher]:
        yield launcher

    build = control_plane.api_application
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane, "api_application", application)
        patch.setattr(control_plane, "open_launcher", open_launcher)
        for group in Group:
            patch.setitem(limits.DOCUMENTED, group, limits.Rate(1_000_000, 1))
        async with (
            serve_room() as room,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        ):
            settings = Settings.model_validate(
                {
                    "api": {"port": 0},
                    "control": {"directory": str(directory), "cores": 64, "memory_mb": 1 << 20},
                    "net": {"allow": ["127.0.0.0/8"]},
                    "rooms": {"url": room.ws_url, "per_app": True},
                    "spool": {"directory": str(directory / "spool")},
                    "storage": {"endpoint": "http://127.0.0.1:9"},
                }
            )
            async with (
                control_plane.serve_control_plane(settings) as address,
                control_plane.records_of(settings, control_keys(settings.control)) as records,
            ):
                ann, bob = [await tenant(records, name) for name in ("ann", "bob")]
                place = Place(
                    address.url,
                    session,
                    records,
                    directory / "control.db",
                    room.ws_url,
                    served["operations"],
                    served["pages"],
                    ann,
                    bob,
                )
                for each in (ann, bob):
                    await furnish(place, each)
                async with asyncio.timeout(10):
                    # From then on the reconciler changes nothing.
                    while len(launcher.launched) < 4:  # noqa: ASYNC110 - it sets no event
                        await asyncio.sleep(0.05)
                login = {"name": "ann", "password": PASSWORD}
                reply = await place.call(ann, "POST", "/dashboard/api/session", login)
                assert reply.status == 200
                async with guest(session, room.ws_url, f"{bob.app_id}-{bob.room_id}"):
                    yield place


@asynccontextmanager
async def guest(session: aiohttp.ClientSession, room_url: str, room_id: str) -> AsyncIterator[None]:
    """Somebody is in the room, and stays."""
    join = {"type": "join", "room": room_id, "user_id": "guest", "name": "guest"}
    async with session.ws_connect(room_url) as socket, asyncio.TaskGroup() as group:
        await socket.send_json(join | {"role": "publisher"})
        assert (await socket.receive_json(timeout=5))["type"] == "welcome"
        staying = group.create_task(stay(socket))
        try:
            yield
        finally:
            staying.cancel()


async def stay(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Who does not listen does not answer pings, and is taken for gone."""
    async for _ in socket:
        pass


async def tenant(records: Records, name: str) -> Tenant:
    now_unix_ms = control_plane.unix_ms()
    password = await Passwords(time_cost=1, memory_kib=1024).hash(PASSWORD)
    account = Account(name.encode().hex().ljust(32, "0"), name, now_unix_ms, password)
    await records.add_account(account)
    token, _ = await Tokens(records=records, unix_ms=control_plane.unix_ms).issue(
        account.account_id
    )
    return Tenant(account, token, f"room-of-{name}")


async def furnish(place: Place, tenant: Tenant) -> None:
    """An application with a rule, and of each kind a job that runs."""

    async def made(path: str, body: Json) -> Json:
        reply = await place.call(tenant, "POST", f"/v2/apps{path}", body)
        assert reply.status == 201, reply
        made: Json = json.loads(reply.body)
        return made

    tenant.app_id = (await made("", {"app_name": tenant.ids("")["app_name"]}))["app_id"]
    tenant.rule_id = (await made(f"/{tenant.app_id}/record-rules", RULE))["rule_id"]
    wanted = {"mix": MixJobRequest, "individual": IndividualJobRequest}
    for kind, model in wanted.items():
        body = filled(BODIES[model], tenant.ids(kind))
        job = await made(f"/{tenant.app_id}/{kind}-stream-jobs", body)
        tenant.jobs[kind] = job["job_id"]
        await place.records.change_job(
            job["job_id"], lambda job: replace(job, state=State.RUNNING, attempt=1)
        )


# --- What is asked --------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A request whose path and body have ids in braces."""

    name: str
    method: str
    path: str
    body: Json | None
    query: Mapping[str, str]

    @property
    def slots(self) -> Sequence[str]:
        """Ids in it that belong to an account."""
        text = self.path + json.dumps(self.body)
        return [slot for slot in OWNED if f"{{{slot}}}" in text]

    @property
    def kind(self) -> str:
        """Of the job, where there is one."""
        return "individual" if "individual" in self.path else "mix"

    async def ask(self, place: Place, tenant: Tenant, ids: Mapping[str, str]) -> Reply:
        return await place.call(
            tenant, self.method, filled(self.path, ids), filled(self.body, ids), self.query
        )


def filled(template: Any, ids: Mapping[str, str]) -> Any:
    """*template* with ids in place of their names in braces."""
    match template:
        case str():
            return re.sub(r"\{(\w+)\}", lambda name: ids[name[1]], template)
        case dict():
            return {key: filled(value, ids) for key, value in template.items()}
        case list():
            return [filled(each, ids) for each in template]
    return template


def questions(place: Place) -> Iterator[Question]:
    """Everything that is served, but for public operations, which know no accounts."""
    for operation in place.operations:
        assert {*re.findall(r"\{(\w+)\}", operation.path)} <= {*OWNED, *NOBODYS}, operation.path
        if operation.is_public:
            assert "{" not in operation.path
            continue
        body = None
        if operation.request is not None:
            body = BODIES.get(operation.request)
            assert body is not None, f"say in BODIES what {operation.name} may be sent"
            named = set(properties(operation.request.model_json_schema()))
            named -= NOBODYS | IN_BODIES | IGNORED.get(operation.request, set())
            unknown = {name for name in named if re.search("_ids?$", name)}
            assert not unknown, f"{operation.name}: whose are {unknown}?"
        query = QUERIES.get(operation.name, {})
        yield Question(operation.name, operation.method, operation.path, body, query)
    for page in place.pages:
        assert {*re.findall(r"\{(\w+)\}", page.path)} <= {*OWNED, *NOBODYS}, page.path
        path = page.path.replace("{attempt}", "1")
        if any(f"{{{slot}}}" in path for slot in OWNED):
            yield Question(path, page.method, path, BODIES.get(path), {})


def properties(schema: Any) -> Iterator[str]:
    """Names of all members in a JSON schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from properties(each)


@dataclass(frozen=True)
class Pair:
    """The same question with ids of bob's, and with ids that never were, in the same places."""

    question: Question
    theirs: Mapping[str, str]
    nobodys: Mapping[str, str]

    def __str__(self) -> str:
        places = [slot for slot in self.question.slots if self.theirs[slot] != self.nobodys[slot]]
        return f"{self.question.name}({', '.join(places)})"


def pairs(place: Place) -> Iterator[Pair]:
    """Every way to have at least one of bob's ids among ann's own."""
    for question in questions(place):
        slots = question.slots
        for chosen in product((False, True), repeat=len(slots)):
            foreign = [slot for slot, is_foreign in zip(slots, chosen, strict=True) if is_foreign]
            for kind in place.bob.jobs if "job_id" in foreign else [question.kind]:
                own, bobs = place.ann.ids(question.kind), place.bob.ids(kind)
                if "app_id" in foreign:
                    foreign.append("room_id")
                if foreign:
                    yield Pair(
                        question,
                        own | {slot: bobs[slot] for slot in foreign},
                        own | {slot: NEVER_WAS[slot] for slot in foreign},
                    )


# --- What is answered -----------------------------------------------------------------------


async def test_what_is_another_accounts_is_answered_as_what_never_was(place: Place) -> None:
    asked = list(pairs(place))
    before, people = place.rows(), await place.people()
    differing = []
    for pair in asked:
        theirs = await pair.question.ask(place, place.ann, pair.theirs)
        nobodys = await pair.question.ask(place, place.ann, pair.nobodys)
        if theirs.seen != nobodys.seen or not 400 <= theirs.status < 500:
            differing.append((str(pair), theirs.seen, nobodys.seen))
    assert not differing
    assert place.rows() == before
    assert await place.people() == people and place.bob.room_id in json.dumps(people)
    assert {pair.question.name for pair in asked} >= {
        operation.name for operation in place.operations if "{app_id}" in operation.path
    }
    assert len(asked) > 60


async def test_a_project_and_a_token_of_another_account_are_answered_as_none(place: Place) -> None:
    bob, others = place.bob, {"X-Project-Id": place.bob.account.account_id}
    never = {"X-Project-Id": "0" * 32}
    refusals = [
        await place.call(place.ann, "GET", "/v2/apps", headers=sent) for sent in (others, never)
    ]
    assert refusals[0].seen == refusals[1].seen and refusals[0].status == 401

    revoked = [
        await place.call(place.ann, "DELETE", "/v3/auth/tokens", headers={"X-Subject-Token": text})
        for text in (bob.token, "n" * len(bob.token))
    ]
    assert revoked[0].seen == revoked[1].seen and revoked[0].status == 404
    assert (await place.call(bob, "GET", "/v2/apps")).status == 200


async def test_ids_in_an_answer_that_is_sent_back_do_not_matter(place: Place) -> None:
    before = await place.records.rule(
        place.bob.account.account_id, place.bob.app_id, place.bob.rule_id
    )
    path = f"/v2/apps/{place.ann.app_id}/record-rules"
    theirs = {"rule_id": place.bob.rule_id, "app_id": place.bob.app_id}
    for method, at in (("POST", path), ("PUT", f"{path}/{place.ann.rule_id}")):
        reply = await place.call(place.ann, method, at, RULE | theirs)
        told = json.loads(reply.body)
        assert reply.status == 200
        assert (told["rule_id"], told["app_id"]) == (place.ann.rule_id, place.ann.app_id)
    after = await place.records.rule(
        place.bob.account.account_id, place.bob.app_id, place.bob.rule_id
    )
    assert after == before


async def test_rooms_of_another_account_are_not_reached_through_an_application_of_ones_own(
    place: Place,
) -> None:
    room = f"other-{place.bob.room_id}"
    path = f"/v2/apps/{place.ann.app_id}/rooms/{{}}/dismiss"
    async with guest(place.session, place.room_url, room):
        theirs = await place.call(place.ann, "POST", path.format(room))
        never = await place.call(place.ann, "POST", path.format("never-was"))
        assert theirs.seen == never.seen
        assert room in json.dumps(await place.people())


async def test_what_takes_no_ids_tells_nothing_of_other_accounts(place: Place) -> None:
    """Not even that an application has that name; statistics are nobody's."""
    bobs = place.bob.ids("mix")
    named = place.ann.ids("mix") | {name: bobs[name] for name in ("app_name", "project_id")}
    answered = set()
    for question in questions(place):
        if question.slots or question.method == "DELETE":
            continue
        reply = await question.ask(place, place.ann, named)
        told = [trace for trace in place.bob.traces if trace in reply.body]
        assert not told, (question.name, reply.body)
        answered.add((question.name, reply.status))
    assert {("create_app", 201), ("list_apps", 200), ("list_projects", 200)} <= answered
    jobs = await place.call(place.ann, "GET", "/dashboard/api/jobs")
    assert place.ann.jobs["mix"] in jobs.body
    assert not [trace for trace in place.bob.traces if trace in jobs.body]


PAIRS, MANY_PAIRS = 10, 300
"""Of requests, for each operation."""
MOST_GAP, MOST_GAP_OF_ONE = 1.15, 1.25


async def gaps(place: Place, count: int) -> dict[str, float]:
    """For each operation, how much longer bob's ids take than nobody's, by their medians.

    In turn, so that a busy machine disturbs both alike.
    """
    of_operation = defaultdict[str, list[Pair]](list)
    for pair in pairs(place):
        of_operation[pair.question.name].append(pair)
    medians = {}
    for name, asked in of_operation.items():
        theirs, nobodys = list[float](), list[float]()
        for number, pair in enumerate(islice(cycle(asked), count)):
            sides = [(pair.theirs, theirs), (pair.nobodys, nobodys)]
            for ids, taken_s in sides if number % 2 else reversed(sides):
                taken_s.append((await pair.question.ask(place, place.ann, ids)).took_s)
        medians[name] = statistics.median(theirs) / statistics.median(nobodys)
    return medians


async def test_what_is_another_accounts_takes_as_long_as_what_never_was(place: Place) -> None:
    measured = await gaps(place, PAIRS)
    assert 1 / MOST_GAP < statistics.median(measured.values()) < MOST_GAP, measured


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_no_operation_betrays_by_its_time_what_another_account_has(place: Place) -> None:
    measured = await gaps(place, MANY_PAIRS)
    print({name: round(gap, 3) for name, gap in sorted(measured.items())})
    assert all(1 / MOST_GAP_OF_ONE < gap < MOST_GAP_OF_ONE for gap in measured.values()), measured


async def test_whose_they_are_is_answered_otherwise(place: Place) -> None:
    """Else the matrix would show nothing. What removes something comes last."""
    bob = place.bob
    reply = await place.call(
        bob, "POST", "/dashboard/api/session", {"name": "bob", "password": PASSWORD}
    )
    assert reply.status == 200
    asked = [question for question in questions(place) if question.slots]
    for question in sorted(
        asked,
        key=lambda one: (one.method == "DELETE", one.path.count("/"), one.path),
        reverse=False,
    ):
        own, never = bob.ids(question.kind), dict.fromkeys(question.slots)
        mine = await question.ask(place, bob, own)
        nobodys = await question.ask(place, bob, own | {slot: NEVER_WAS[slot] for slot in never})
        if question.path.startswith(INTERNAL_PREFIX):
            assert mine.seen == nobodys.seen and mine.status == 401, "for workers only"
        else:
            assert mine.seen != nobodys.seen and mine.status != 404, (question, mine)
