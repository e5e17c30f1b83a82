"""A control plane without its network: real records, a launcher that is a table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.launcher import FakeLauncher
from worker.core.lifecycle import State, StopReason
from worker.jobs.channel_messages import Told, told_text
from worker.jobs.closing import Closing
from worker.jobs.desk import Desk, Room
from worker.jobs.lines import Lines
from worker.jobs.ports import Records
from worker.jobs.reconciler import Reconciler
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account, App, AppState, JobKind, JobRecord

ACCOUNT, APP = "a" * 32, "b" * 24
KEY = bytes(range(32))
KILL_AFTER_MS = 60_000


@dataclass
class Wall:
    """The wall clock."""

    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Control:
    records: Records
    launcher: FakeLauncher
    lines: Lines
    desk: Desk
    reconciler: Reconciler
    wall: Wall
    changes: list[str] = field(default_factory=list)

    async def create(self, job_id: str = "c" * 32, **changes: Any) -> JobRecord:
        return await self.desk.create(job_record(job_id, self.wall, **changes), rule_id=None)

    async def job(self, job_id: str = "c" * 32) -> JobRecord:
        job = await self.records.any_job(job_id)
        assert job is not None
        return job

    async def look(self, after_ms: int = 500) -> None:
        self.wall.now_ms += after_ms
        await self.reconciler.look()


def job_record(job_id: str, wall: Wall, **changes: Any) -> JobRecord:
    facts: dict[str, Any] = {
        "job_id": job_id,
        "account_id": ACCOUNT,
        "app_id": APP,
        "kind": JobKind.MIX,
        "unique_id": job_id,
        "room_id": "room1",
        "stream_name": f"m_{job_id}_room1",
        "asked": {"mix_param": {"room_id": "room1"}},
        "document": {"job_id": job_id, "mix_param": {"room_id": "room1"}},
        "created_unix_ms": wall(),
        "updated_unix_ms": wall(),
    }
    return JobRecord(**{**facts, **changes})


@asynccontextmanager
async def control(
    directory: Path, *, room: Room | None = None, launcher: FakeLauncher | None = None
) -> AsyncIterator[Control]:
    wall = Wall()
    launcher = launcher or FakeLauncher()
    async with open_records(f"sqlite:///{directory}/control.db", seal=Seal([KEY])) as records:
        if await records.account(ACCOUNT) is None:
            await records.add_account(Account(ACCOUNT, "tenant", wall()))
            app = App(APP, ACCOUNT, "app", AppState.ACTIVE, wall(), wall(), "key")
            await records.add_app(app, quota=20)
        changes: list[str] = []
        lines = Lines(records, unix_ms=wall, on_change=lambda: changes.append("line"))
        desk = Desk(
            records,
            room=room or Room(),
            needs=lambda job: (job.cores, job.memory_mb),
            unix_ms=wall,
            on_change=lambda: changes.append("desk"),
        )
        closing = Closing(records, body=lambda job, over: over.reason.encode(), unix_ms=wall)
        reconciler = Reconciler(
            records,
            launcher,
            lines,
            holder="me",
            control_url="http://control",
            results="/results",
            key=KEY,
            kill_after_ms=KILL_AFTER_MS,
            unix_ms=wall,
            is_told=closing.is_told,
        )
        yield Control(records, launcher, lines, desk, reconciler, wall, changes)


def told(state: State, reason: StopReason | None = None, **more: Any) -> str:
    return told_text(Told(state, reason, **more))
