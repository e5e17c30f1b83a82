"""The API on a free loopback port, with records in SQLite and two accounts that have tokens."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from worker.api.auth.refusals import Unauthenticated
from worker.api.listener import serve_api
from worker.api.operation import AnyOperation
from worker.api.requests import ACCOUNT, operation_of
from worker.api.routes.about import about
from worker.api.routes.apps import Apps
from worker.api.routes.auto_record import AutoRecording
from worker.api.routes.buckets import BucketAccess
from worker.api.routes.callbacks import Callbacks
from worker.api.routes.rules import Rules
from worker.api.routes.statistics import operations as statistics
from worker.api.server import api_application
from worker.errors import DestinationError, DestinationRefused
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account
from worker.net.dial import Dialer
from worker.net.lookup import Lookup, SocketAddress
from worker.net.reach import Reach
from worker.ports import BucketFacts, ObjectFacts

START_UNIX_MS = 1_700_000_000_000
ALICE = Account("a" * 32, "alice", START_UNIX_MS)
BOB = Account("b" * 32, "bob", START_UNIX_MS)
ACCOUNTS = {account.name: account for account in (ALICE, BOB)}


@dataclass
class Clock:
    """A wall clock that stands still."""

    unix_ms: int = START_UNIX_MS

    def __call__(self) -> int:
        return self.unix_ms


@dataclass
class BucketsInMemory:
    """`ports.Buckets` with contents that a test sets."""

    contents: dict[str, list[ObjectFacts]] = field(default_factory=dict)
    trouble: DestinationError | None = None

    async def buckets(self) -> Sequence[BucketFacts]:
        self._fail()
        return [BucketFacts(name, START_UNIX_MS) for name in self.contents]

    async def objects(
        self, bucket: str, *, location: str, prefix: str, folders: bool
    ) -> Sequence[ObjectFacts]:
        self._fail()
        if bucket not in self.contents:
            raise DestinationRefused("NoSuchBucket")
        return [
            each
            for each in self.contents[bucket]
            if each.key.startswith(prefix) and each.key.endswith("/") is folders
        ]

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.body["error_code"]


@dataclass
class Api:
    """A running API and what is behind it."""

    url: str
    session: aiohttp.ClientSession
    records: Records
    clock: Clock
    buckets: BucketsInMemory

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "alice",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        content = (
            {"json": body}
            if data is None and body is not None
            else {"data": data and BytesIO(data)}
        )
        async with self.session.request(
            method, self.url + path, headers=sent, allow_redirects=False, **content
        ) as answer:
            text = await answer.read()
            is_json = answer.content_type == "application/json"
            return Reply(answer.status, await answer.json() if is_json else text, answer.headers)

    async def app(self, name: str = "demo", *, token: str = "alice") -> str:
        """The id of a new application."""
        reply = await self.call("POST", "/v2/apps", {"app_name": name}, token=token)
        assert reply.status == 201
        return str(reply.body["app_id"])


async def check_address(url: str) -> None:
    """As in production, but for the name server."""
    address = URL(url)
    await Dialer(Reach(), look_up=_look_up).addresses(address.host or "", address.port or 0)


async def _look_up(host: str, port: int) -> Sequence[SocketAddress]:
    if host == "silent.example":
        await asyncio.Event().wait()
    known = {"hooks.example": "8.8.8.8", "internal.example": "10.0.0.1"}
    if host.endswith(".example") and host not in known:
        raise DestinationError("the host name was not found")
    return await Lookup().addresses(known.get(host, host), port)


@web.middleware
async def by_name(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whose token is their name."""
    operation = operation_of(request)
    if operation is not None and not operation.is_public:
        account = ACCOUNTS.get(request.headers.get("X-Auth-Token", ""))
        if account is None:
            raise Unauthenticated("x-auth-token not found")
        request[ACCOUNT] = account
    return await handler(request)


@asynccontextmanager
async def running_api(
    directory: Path,
    *,
    operations: Iterable[AnyOperation] = (),
    pages: Iterable[web.AbstractRouteDef] = (),
    grants_needed: bool = False,
    locations: Sequence[str] = ("cn-north-4", "cn-east-2", "eu-1"),
) -> AsyncIterator[Api]:
    """All resources and the *operations* of a test."""
    clock, buckets = Clock(), BucketsInMemory()
    async with (
        open_records(f"sqlite:///{directory}/records.db", seal=Seal([bytes(32)])) as records,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        for account in ACCOUNTS.values():
            await records.add_account(account)
        api = Api("", session, records, clock, buckets)
        resources = [
            Apps(records, clock),
            Rules(records, clock, locations, grants_needed),
            AutoRecording(records, clock),
            Callbacks(records, clock, check_address),
            BucketAccess(records, buckets, "cn-north-4", grants_needed),
        ]
        served = [
            *(each for resource in resources for each in resource.operations()),
            *statistics(),
            *operations,
        ]
        application = api_application(
            [*served, *about(served)],
            middlewares=[by_name],
            pages=pages,
        )
        async with serve_api(application, "127.0.0.1", 0) as port:
            api.url = f"http://127.0.0.1:{port}"
            yield api
