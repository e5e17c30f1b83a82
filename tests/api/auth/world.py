"""A real server with real records, two accounts, and operations that show who was let in."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.api.auth.signing import Wire
from worker.api.auth.authenticator import Authenticator
from worker.api.auth.limits import Limits, Rate
from worker.api.auth.lockout import Lockout
from worker.api.auth.login import Login
from worker.api.auth.middleware import authenticated
from worker.api.auth.passwords import Passwords
from worker.api.auth.replays import Replays
from worker.api.auth.sources import Network, through_proxies
from worker.api.auth.tokens import Tokens
from worker.api.listener import serve_api
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.routes import identity
from worker.api.routes.about import about
from worker.api.server import api_application
from worker.errors import QuotaExceeded, RecordsDown
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import AccessKey, Account

NOW_UNIX_MS = 1_767_323_045_000
"""2026-01-02 03:04:05 UTC."""
PASSWORD = "correct horse battery"
UNLIMITED = Rate(10_000, 1)
ANY_RATE = dict.fromkeys(Group, UNLIMITED)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_unix_ms = NOW_UNIX_MS

    def __call__(self) -> int:
        return self.now_unix_ms

    def advance(self, seconds: float) -> None:
        self.now_unix_ms += int(seconds * 1000)


@dataclass(frozen=True, slots=True)
class Tenant:
    account: Account
    ak: str
    sk: str


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NewApp(BaseModel):
    app_name: str


@dataclass(slots=True)
class World:
    port: int
    records: Records
    alice: Tenant
    bob: Tenant
    made: Counter[str] = field(default_factory=Counter)
    """How often each operation had its effect, by account and what was asked."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """A slow request is being worked on,"""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """and may be answered."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def send(self, wire: Wire) -> Got:
        """One request on a connection of its own, byte for byte."""
        lines = [f"{wire.method} ".encode() + wire.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in wire.headers]
        lines += [b"Connection: close"]
        if wire.body or wire.method != "GET":
            lines += [b"Content-Length: %d" % len(wire.body)]
        return await self.send_raw(b"\r\n".join(lines) + b"\r\n\r\n" + wire.body)

    async def send_raw(self, data: bytes) -> Got:
        clock = asyncio.get_running_loop().time
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            before_s = clock()
            writer.write(data)
            answer = await reader.read(1 << 20)
            took_s = clock() - before_s
            while more := await reader.read(1 << 20):
                answer += more
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        return Got(int(status.split()[1]), {k.lower(): v for k, v in headers.items()}, body, took_s)


async def add_tenant(records: Records, passwords: Passwords, name: str) -> Tenant:
    account_id = name[0] * 32
    account = Account(account_id, name, NOW_UNIX_MS, await passwords.hash(PASSWORD))
    await records.add_account(account)
    key = AccessKey(f"AK{name.upper()}", account_id, f"SK-{name}-secret", NOW_UNIX_MS)
    await records.add_key(key)
    return Tenant(account, key.access_key, key.secret)


@asynccontextmanager
async def a_world(
    directory: Path,
    clock: Clock,
    *,
    rates: Mapping[Group, Rate] = ANY_RATE,
    strangers: Rate = UNLIMITED,
    proxies: Sequence[Network] = (),
) -> AsyncIterator[World]:
    seal = Seal([b"k" * 32])
    passwords = Passwords(time_cost=1, memory_kib=1024)
    async with open_records(f"sqlite:///{directory}/records.db", seal=seal) as records:
        limits = Limits(unix_ms=clock, rates=rates, strangers=strangers)
        tokens = Tokens(records=records, unix_ms=clock)
        world = World(
            port=0,
            records=records,
            alice=await add_tenant(records, passwords, "alice"),
            bob=await add_tenant(records, passwords, "bob"),
        )
        login = Login(
            records=records,
            passwords=passwords,
            lockout=Lockout(),
            limits=limits,
            unix_ms=clock,
        )
        served = [*_operations(world), *identity.operations(login=login, tokens=tokens)]
        application = api_application(
            [*served, *about(served)],
            middlewares=[
                through_proxies(proxies),
                authenticated(
                    authenticator=Authenticator(
                        records=records, tokens=tokens, lockout=Lockout(), unix_ms=clock
                    ),
                    limits=limits,
                    replays=Replays(records=records, unix_ms=clock),
                ),
            ],
        )
        async with serve_api(application, "127.0.0.1", 0) as world.port:
            yield world


def _operations(world: World) -> Sequence[AnyOperation]:
    async def show(call: Call[None, None]) -> Answer:
        return Answer(200, {"account_id": call.account.account_id})

    async def add(call: Call[NewApp, None]) -> Answer:
        """What happens is told by the name that is asked for."""
        name = call.body.app_name
        if name == "slow":
            world.begun.set()
            await world.go_on.wait()
        world.made[f"{call.account.name}/{name}"] += 1
        match name:
            case "refused":
                raise QuotaExceeded("full")
            case "down":
                raise RecordsDown("gone")
            case "bug":
                raise RuntimeError("a bug")
        count = world.made[f"{call.account.name}/{name}"]
        return Answer(201, {"app_id": f"{name}-{count}", "text": "日本"})

    async def dismiss(call: Call[None, None]) -> Answer:
        world.made[call.path["room_id"]] += 1
        return Answer(202)

    async def ping(call: Call[None, None]) -> Answer:
        return Answer(200, {"remote": call.remote})

    setup = {"group": Group.SETUP, "responses": {}}
    return [
        Operation(method="GET", path="/v2/apps", name="show", handler=show, **setup),
        Operation(method="POST", path="/v2/apps", name="add", handler=add, request=NewApp, **setup),
        Operation(
            method="POST",
            path="/v2/apps/{app_id}/rooms/{room_id}/dismiss",
            name="dismiss",
            handler=dismiss,
            responses={},
            group=Group.ROOMS,
        ),
        Operation(
            method="GET", path="/ping", name="ping", handler=ping, responses={}, is_public=True
        ),
    ]
