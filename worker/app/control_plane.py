"""The control plane, put together from the settings and served until cancelled."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from random import Random
from secrets import token_hex

from aiohttp import web
from yarl import URL

from worker.api.auth.authenticator import Authenticator
from worker.api.auth.limits import Limits
from worker.api.auth.lockout import Lockout
from worker.api.auth.login import Login
from worker.api.auth.middleware import authenticated
from worker.api.auth.passwords import Passwords
from worker.api.auth.replays import Replays
from worker.api.auth.sources import through_proxies
from worker.api.auth.tokens import Tokens
from worker.api.dashboard.routes import DashboardContext, dashboard_routes
from worker.api.internal import WorkersEntrance
from worker.api.listener import serve_api
from worker.api.operation import AnyOperation
from worker.api.routes import identity, statistics
from worker.api.routes.about import about
from worker.api.routes.apps import Apps
from worker.api.routes.auto_record import AutoRecording
from worker.api.routes.buckets import BucketAccess
from worker.api.routes.callbacks import Callbacks
from worker.api.routes.individual_jobs import IndividualJobs
from worker.api.routes.job_creation import JobsContext
from worker.api.routes.mix_jobs import MixJobs
from worker.api.routes.rooms import Rooms
from worker.api.routes.rules import Rules
from worker.api.server import api_application
from worker.api.wire.callback import CallbackFacts, callback_body
from worker.api.wire.job_record import Opening, automatic_job, is_automatic
from worker.app.background import running
from worker.app.costs import needs_of
from worker.app.draining import drain
from worker.app.housekeeping import keep_house
from worker.app.keys import Keys, control_keys
from worker.app.launching import MORE_GRACE_S, capacity_of, open_launcher, results_directory
from worker.app.outputs import unix_s
from worker.app.places import check_exposure, room_document, room_keeper
from worker.app.stores import browser, calls
from worker.core.spec import CallbackSpec
from worker.engine.clock import LoopClock
from worker.jobs.auto_recorder import AutoRecorder, Stream
from worker.jobs.closing import Closing
from worker.jobs.desk import Desk, Room
from worker.jobs.lines import Lines
from worker.jobs.mailer import Mailer
from worker.jobs.ports import Launcher, Records, RoomKeeper
from worker.jobs.reconciler import Reconciler
from worker.jobs.records import Seal, open_records
from worker.jobs.room_names import AppRooms, RoomNames
from worker.jobs.values import JobRecord
from worker.net.reach import Reach
from worker.notify.post import HttpPost
from worker.ports import RecordingOver
from worker.settings import Settings

log = logging.getLogger(__name__)

KILL_AFTER_S = 120.0
"""A stopped worker that takes longer than its grace period and this is stuck."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a control plane is served."""

    url: str
    port: int


def unix_ms() -> int:
    """The wall clock."""
    return round(unix_s() * 1000)


@asynccontextmanager
async def records_of(settings: Settings, keys: Keys) -> AsyncIterator[Records]:
    """The database of the settings. Raises `RecordsDown`."""
    async with open_records(_database(settings), seal=Seal(keys.seals)) as records:
        yield records


@asynccontextmanager
async def serve_control_plane(
    settings: Settings, config: Path | None = None, *, drains: bool = False
) -> AsyncIterator[Address]:
    """Serve while inside; the settings were read from *config*.

    Running workers outlive it unless it *drains*: then they finish before it ends.
    Raises `InvalidField` for settings that do not fit, `RecordsDown`, `LaunchError`.
    """
    check_exposure(settings.api)
    keys = control_keys(settings.control)
    tls = _tls(settings)
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(records_of(settings, keys))
        launcher = await stack.enter_async_context(open_launcher(settings, config))
        plane = _Plane(settings, keys, records, launcher)
        port = await stack.enter_async_context(
            serve_api(plane.application(), settings.api.host, settings.api.port, tls=tls)
        )
        url = _url(settings, port)
        if drains:
            # Once nobody replaces them any more, and while they can still tell their last words.
            within_s = settings.stop.grace_s + MORE_GRACE_S
            stack.push_async_callback(drain, launcher, within_s)
        await stack.enter_async_context(running(plane.work(url), "control plane"))
        yield Address(url, port)


class _Plane:
    """What of a control plane belongs together."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        records: Records,
        launcher: Launcher,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._records = records
        self._launcher = launcher
        self._calling = calls(settings)
        cores, memory_mb = capacity_of(settings)
        self._lines = Lines(records, unix_ms=unix_ms, on_change=self._woken)
        self._desk = Desk(
            records,
            room=Room(settings.control.jobs_per_account, cores, memory_mb),
            needs=needs_of(settings.control.participants),
            unix_ms=unix_ms,
            on_change=self._woken,
        )
        self._reconciler: Reconciler | None = None
        self._room_document = room_document(settings.rooms)
        self._keeper = room_keeper(settings.rooms, LoopClock(asyncio.get_running_loop()))
        self._mailer = Mailer(
            records,
            post_to=self._post_to,
            is_leader=self._leads,
            unix_ms=unix_ms,
            rng=Random(),
        )

    async def work(self, url: str) -> None:
        """Everything that goes on beside answering requests; *url* is where workers find us."""
        closing = Closing(self._records, body=self._last_word, unix_ms=unix_ms)
        grace_s = self._settings.stop.grace_s + KILL_AFTER_S
        self._reconciler = Reconciler(
            self._records,
            self._launcher,
            self._lines,
            holder=token_hex(8),
            control_url=self._settings.control.worker_url.rstrip("/") or url,
            results=results_directory(self._settings),
            key=self._keys.workers,
            kill_after_ms=round(1000 * grace_s),
            unix_ms=unix_ms,
            is_told=closing.is_told,
        )
        recorder = AutoRecorder(
            self._records,
            self._desk,
            self._rooms_of,
            job_of=self._automatic_job,
            is_automatic=is_automatic,
            is_leader=self._leads,
            unix_ms=unix_ms,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconciler.run(), name="reconciler")
            group.create_task(recorder.run(), name="automatic recording")
            group.create_task(self._mailer.run(), name="mailer")
            group.create_task(self._lines.follow(), name="lines")
            group.create_task(
                keep_house(self._records, self._settings, unix_ms=unix_ms), name="housekeeping"
            )

    def application(self) -> web.Application:
        """The API, the dashboard and the workers' entrance."""
        settings = self._settings
        limits, lockout = Limits(unix_ms=unix_ms), Lockout()
        tokens = Tokens(records=self._records, unix_ms=unix_ms)
        login = Login(
            records=self._records,
            passwords=Passwords(),
            lockout=lockout,
            limits=limits,
            unix_ms=unix_ms,
        )
        operations = self._operations(login, tokens)
        [update_mix_job] = [each for each in operations if each.name == "update_mix_job"]
        dashboard = DashboardContext(
            records=self._records,
            orders=self._desk,
            watch=self._lines,
            check_login=login.account,
            update_mix_job=update_mix_job,
            unix_ms=unix_ms,
        )
        entrance = WorkersEntrance(
            self._records, self._lines, self._keys.workers, unix_ms, self._woken
        )
        authenticator = Authenticator(
            records=self._records, tokens=tokens, lockout=lockout, unix_ms=unix_ms
        )
        return api_application(
            operations,
            middlewares=[
                through_proxies([ip_network(each) for each in settings.api.trusted_proxies]),
                authenticated(
                    authenticator=authenticator,
                    limits=limits,
                    replays=Replays(records=self._records, unix_ms=unix_ms),
                ),
            ],
            pages=[*dashboard_routes(dashboard), *entrance.routes()],
        )

    def _operations(self, login: Login, tokens: Tokens) -> Sequence[AnyOperation]:
        settings, records = self._settings, self._records
        grants = settings.api.bucket_grants
        jobs = JobsContext(
            records=records,
            orders=self._desk,
            room_document=self._room_document,
            unix_ms=unix_ms,
            reach=Reach.parse(settings.net.allow),
            grants_needed=grants,
        )
        operations = [
            *Apps(records, unix_ms, settings.api.apps_per_account).operations(),
            *Rules(
                records, unix_ms, locations=settings.storage.locations, grants_needed=grants
            ).operations(),
            *AutoRecording(records, unix_ms).operations(),
            *Callbacks(records, unix_ms, self._check_address).operations(),
            *MixJobs(jobs).operations(),
            *IndividualJobs(jobs).operations(),
            *Rooms(records=records, keeper_for=self._rooms_of).operations(),
            *BucketAccess(
                records, browser(settings.storage), _location(settings), grants_needed=grants
            ).operations(),
            *identity.operations(login=login, tokens=tokens),
            *statistics.operations(),
        ]
        return [*operations, *about(operations)]

    async def _check_address(self, url: str) -> None:
        address = URL(url)
        await self._calling.dialer.addresses(address.host or "", address.port or 0)

    def _post_to(self, receiver: CallbackSpec) -> HttpPost:
        return HttpPost(receiver, dialer=self._calling.dialer, tls=self._calling.tls, unix_s=unix_s)

    def _last_word(self, job: JobRecord, over: RecordingOver) -> bytes:
        facts = CallbackFacts(
            job.app_id,
            job.room_id,
            job.stream_name,
            over_event=self._settings.control.over_event,
        )
        return callback_body(over, facts)

    def _automatic_job(self, stream: Stream) -> JobRecord:
        opening = Opening(
            account_id=stream.app.account_id,
            app_id=stream.app.app_id,
            job_id=token_hex(16),
            unique_id=stream.key,
            room=self._room_document(stream.app.app_id, stream.room_id),
            rule=stream.rule,
            created_unix_ms=unix_ms(),
        )
        return automatic_job(stream.user_id, stream.room_id, opening, is_screen=stream.is_screen)

    def _rooms_of(self, app_id: str) -> RoomKeeper:
        return AppRooms(app_id, RoomNames(self._settings.rooms.per_app), self._keeper)

    def _leads(self) -> bool:
        return self._reconciler is not None and self._reconciler.is_leader

    def _woken(self) -> None:
        self._lines.wake()
        self._mailer.wake()
        if self._reconciler is not None:
            self._reconciler.wake()


def _database(settings: Settings) -> str:
    control = settings.control
    return control.database_url() or f"sqlite:///{Path(control.directory).resolve()}/control.db"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    api = settings.api
    if not api.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(api.tls_certificate, api.tls_key)
    return context


def _location(settings: Settings) -> str:
    """Of our buckets, as rules name it where there is one."""
    locations = list(settings.storage.locations)
    return locations[0] if len(locations) == 1 else settings.storage.region


def _url(settings: Settings, port: int) -> str:
    """Where workers on this machine find us."""
    host = settings.api.host
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    authority = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.api.tls_certificate else 'http'}://{authority}:{port}"
