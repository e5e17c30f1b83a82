"""A dashboard that is really served: records on SQLite, the API's own update, workers made up."""

import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from worker.api.auth.limits import Limits
from worker.api.auth.lockout import Lockout
from worker.api.auth.login import Login
from worker.api.auth.passwords import Passwords
from worker.api.dashboard.routes import DashboardContext, dashboard_routes
from worker.api.listener import serve_api
from worker.api.routes.job_creation import JobsContext
from worker.api.routes.mix_jobs import MixJobs
from worker.api.server import api_application
from worker.api.wire.job_mix import effective
from worker.api.wire.mix_param import MixParam
from worker.core.lifecycle import State, StopReason
from worker.errors import JobDone
from worker.jobs.ports import Records
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account, App, AppState, JobKind, JobRecord, Json, Message
from worker.net.reach import Reach

ACME, BOLT = "a" * 32, "b" * 32
ACME_APP, BOLT_APP = "a" * 24, "b" * 24
JOB, OTHERS_JOB = "1" * 32, "2" * 32
PASSWORD = "correct horse battery staple"  # noqa: S105
START_MS = 1_700_000_000_000
EVIL = '<img src=x onerror="window.hacked=1">'

PANES = [
    {"user_id": "ada", "x": 0.0, "y": 0.0, "width": 0.5, "height": 0.5},
    {"user_id": "bob", "x": 0.5, "y": 0.0, "width": 0.5, "height": 0.5, "zorder": 1},
]
REPORT: Json = {
    "state": "running",
    "recorded_s": 12.0,
    "frames": 360,
    "late_frames": 2,
    "participants": [
        {"user_id": "ada", "name": "Ada Lovelace"},
        {"user_id": "bob", "name": "Bob"},
        {"user_id": "eve", "name": EVIL},
    ],
    "outputs": [
        {
            "name": "record-mp4",
            "state": "writing",
            "bytes": 4_200_000,
            "pending_bytes": 310_000,
            "lag_s": 1.4,
            "error": None,
        },
        {
            "name": "push-1",
            "state": "retrying",
            "bytes": 1_900_000,
            "pending_bytes": 0,
            "lag_s": 0.0,
            "error": "the server refused the connection",
        },
    ],
    "canvas": {"width_px": 1280, "height_px": 720},
    "tiles": [
        {"x": 0, "y": 0, "width": 0.5, "height": 0.5, "user_id": "ada", "source": "camera"},
        {"x": 0.5, "y": 0, "width": 0.5, "height": 0.5, "user_id": "bob", "source": "camera"},
    ],
    "speaking": ["ada"],
    "warnings": [],
}


@dataclass
class Workers:
    """`ports.Watch` of workers that do not exist."""

    reports: dict[str, Json] = field(default_factory=dict)
    stills: int = 0

    def report(self, job_id: str) -> Json | None:
        return self.reports.get(job_id)

    async def still(self, job_id: str) -> bytes | None:
        """Another colour each time."""
        if job_id not in self.reports:
            return None
        self.stills += 1
        picture = Image.new("RGB", (320, 180), ((self.stills * 70) % 256, 90, 140))
        written = io.BytesIO()
        picture.save(written, "JPEG")
        return written.getvalue()

    def tell(self, job_id: str = JOB, **changes: Any) -> None:
        """The worker of *job_id* says what `REPORT` says, and *changes*."""
        self.reports[job_id] = {**self.reports.get(job_id, REPORT), **changes}


@dataclass
class Desk:
    """`ports.Orders` that only the records hear of."""

    records: Records
    unix_ms: Callable[[], int]

    async def create(self, job: JobRecord, *, rule_id: str | None) -> JobRecord:
        raise AssertionError("the dashboard creates nothing")

    async def update(
        self,
        account_id: str,
        app_id: str,
        kind: JobKind,
        job_id: str,
        change: Callable[[JobRecord], JobRecord],
    ) -> JobRecord:
        job = await self.records.job(account_id, app_id, kind, job_id)
        if not job.is_live:
            raise JobDone("the job has ended")
        now_unix_ms = self.unix_ms()
        return await self.records.change_job(
            job_id, lambda job: replace(change(job), updated_unix_ms=now_unix_ms)
        )

    async def stop(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> None:
        await self.records.job(account_id, app_id, kind, job_id)
        await self.records.change_job(job_id, self._stopped)

    def _stopped(self, job: JobRecord) -> JobRecord:
        return replace(
            job,
            state=State.STOPPED,
            reason=StopReason.TENANT_STOP,
            stopped_unix_ms=self.unix_ms() + 90_000,
        )


@dataclass
class Office:
    """What a test may touch."""

    url: str
    records: Records
    workers: Workers
    now: list[int]


def passwords() -> Passwords:
    """Hashed as cheaply as can be."""
    return Passwords(time_cost=1, memory_kib=64)


def opened(database: Path) -> AbstractAsyncContextManager[Records]:
    return open_records(f"sqlite:///{database}", seal=Seal([b"k" * 32]))


async def furnish(database: Path) -> None:
    """Two accounts with one running job each: `acme` a custom layout, `bolt` a gallery."""
    async with opened(database) as records:
        password_hash = await passwords().hash(PASSWORD)
        for account_id, name in ((ACME, "acme"), (BOLT, "bolt")):
            await records.add_account(Account(account_id, name, START_MS, password_hash))
        for account_id, app_id in ((ACME, ACME_APP), (BOLT, BOLT_APP)):
            app = App(app_id, account_id, "app", AppState.ACTIVE, START_MS, START_MS, "key")
            await records.add_app(app, quota=10)
        await add_job(records, job(JOB, room="town-hall", panes=PANES))
        others = job(OTHERS_JOB, account_id=BOLT, app_id=BOLT_APP, room="secret-room")
        await add_job(records, others)


@asynccontextmanager
async def office(database: Path) -> AsyncIterator[Office]:
    """Serve the dashboard on what `furnish` has put into *database*."""
    now = [START_MS]
    workers = Workers()
    for job_id in (JOB, OTHERS_JOB):
        workers.tell(job_id)
    async with opened(database) as records:
        context = dashboard_context(records, workers, lambda: now[0])
        application = api_application((), pages=dashboard_routes(context))
        async with serve_api(application, "127.0.0.1", 0) as port:
            yield Office(f"http://127.0.0.1:{port}", records, workers, now)


def dashboard_context(
    records: Records, workers: Workers, unix_ms: Callable[[], int]
) -> DashboardContext:
    orders = Desk(records, unix_ms)
    login = Login(
        records=records,
        passwords=passwords(),
        lockout=Lockout(),
        limits=Limits(unix_ms=unix_ms),
        unix_ms=unix_ms,
    )
    jobs = MixJobs(
        JobsContext(
            records=records,
            orders=orders,
            room_document=lambda _app_id, _room_id: {},
            unix_ms=unix_ms,
            reach=Reach.parse([]),
            grants_needed=False,
        )
    )
    return DashboardContext(
        records=records,
        orders=orders,
        watch=workers,
        check_login=login.account,
        update_mix_job=next(each for each in jobs.operations() if each.name == "update_mix_job"),
        unix_ms=unix_ms,
    )


def job(
    job_id: str,
    *,
    account_id: str = ACME,
    app_id: str = ACME_APP,
    room: str = "room",
    panes: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> JobRecord:
    """A running mix of *room*: custom with *panes*, else a gallery."""
    layout: Mapping[str, Any] = {"layout_template": "nine_grids_view"}
    if panes is not None:
        layout = {"layout_template": "custom", "layout_panes": panes}
    param = {"room_id": "room", "encode_template": "1280x720_30_1710", **layout}
    mix = {**effective(MixParam.model_validate(param)), "room_id": room}
    return replace(
        JobRecord(
            job_id=job_id,
            account_id=account_id,
            app_id=app_id,
            kind=JobKind.MIX,
            unique_id=f"key-{job_id[:4]}",
            room_id=room,
            stream_name=f"m_{job_id}_{room}",
            asked={"mix_param": mix},
            document={
                "job_id": job_id,
                "app_id": app_id,
                "stream_name": f"m_{job_id}_{room}",
                "room": {"kind": "testroom", "url": "ws://127.0.0.1:1/ws?token=planted-secret"},
                "mix_param": mix,
            },
            created_unix_ms=START_MS,
            updated_unix_ms=START_MS,
            state=State.RUNNING,
            started_unix_ms=START_MS,
        ),
        **changes,
    )


async def add_job(records: Records, record: JobRecord) -> None:
    await records.add_job(record, rule_id=None, quota=100)


async def add_event(records: Records, number: int, body: str, job_id: str = JOB) -> None:
    await records.add_message(
        Message(
            number=0,
            event_id=f"event-{number}",
            job_id=job_id,
            account_id=ACME,
            app_id=ACME_APP,
            body=body.encode(),
            created_unix_ms=START_MS + 1000 * number,
        )
    )
