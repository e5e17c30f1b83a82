"""What only a file can suffer."""

import asyncio
import os
import signal
import sqlite3
import stat
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.records.samples import ACME, PLENTY, SEAL, a_job
from worker.errors import RecordsDown
from worker.jobs.ports import Records
from worker.jobs.records import open_records

PATIENCE_S = 0.3

# Tells the number of each job that was acknowledged, and of what went wrong then.
ADD_JOBS = """
import asyncio, resource, sys
from tests.jobs.records.samples import PLENTY, SEAL, a_job
from worker.errors import RecordsDown
from worker.jobs.records import open_records

async def main(url, limit_bytes):
    async with open_records(url, seal=SEAL) as records:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        print("open", flush=True)
        for number in range(1, 10_000):
            try:
                await records.add_job(a_job(number), rule_id=None, quota=100_000)
            except RecordsDown as exc:
                print(exc, len(await records.unfinished_jobs()), flush=True)
                return
            print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def path(tmp_path: Path, filled_file: Path) -> Path:
    path = tmp_path / "records.db"
    path.write_bytes(filled_file.read_bytes())
    return path


def _size_bytes(path: Path) -> int:
    return path.stat().st_size


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


async def _open(path: Path) -> None:
    async with open_records(_url(path), seal=SEAL):
        pass


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "records.db"
    old = os.umask(0)
    try:
        async with open_records(_url(path), seal=SEAL) as records:
            await records.accounts()
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"records.db": 0o600, "records.db-wal": 0o600, "records.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    # Closed, all is in the one file.
    assert [each.name for each in path.parent.iterdir()] == ["records.db"]


async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(RecordsDown, match="SQLITE_NOTADB"):
        await _open(path)
    assert path.read_bytes() == b"something else " * 1000


async def test_a_damaged_file_is_refused(path: Path) -> None:
    _damage(path, "accounts")
    with pytest.raises(RecordsDown):
        await _open(path)


def _damage(path: Path, table: str) -> None:
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    start = (page - 1) * page_size
    content[start : start + page_size] = os.urandom(page_size)
    path.write_bytes(content)


async def test_a_file_cut_short_is_refused(path: Path) -> None:
    os.truncate(path, _size_bytes(path) // 2)
    with pytest.raises(RecordsDown):
        await _open(path)


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordsDown):
        await _open(tmp_path / "file" / "records.db")


async def test_a_locked_database_is_down_in_time_for_writers_only(path: Path) -> None:
    async with open_records(_url(path), seal=SEAL, patience_s=PATIENCE_S) as records:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            # More than one: they wait for the connection, the connection for the lock.
            outcomes = await asyncio.gather(
                *(records.set_password(ACME, "new") for _ in range(5)), return_exceptions=True
            )
            assert time.monotonic() - began < 10 * PATIENCE_S
            assert [type(outcome) for outcome in outcomes] == [RecordsDown] * 5
            account = await records.account(ACME)
            assert account is not None
            assert account.password_hash is None
            other.execute("ROLLBACK")
        await records.set_password(ACME, "new")


async def test_errors_tell_no_values(path: Path) -> None:
    async with open_records(_url(path), seal=SEAL, patience_s=PATIENCE_S) as records:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("DROP TABLE bucket_grants")
        with pytest.raises(RecordsDown) as caught:
            await records.set_bucket_grant(ACME, "planted-name", is_granted=True)
    told: BaseException | None = caught.value
    while told is not None:
        assert "planted-name" not in str(told) + repr(told)
        told = told.__cause__ or told.__context__


async def _adding(path: Path, limit_bytes: int = 0) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ADD_JOBS, _url(path), str(limit_bytes)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    return process


async def _numbers(records: Records) -> list[int]:
    return [int(job.job_id, 16) for job in await records.unfinished_jobs()]


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
async def test_nothing_that_was_acknowledged_is_lost_by_a_kill(
    path: Path, acknowledged: int
) -> None:
    process = await _adding(path)
    assert process.stdout is not None
    told = [int(await process.stdout.readline()) for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in (await process.stdout.read()).split()]
    await process.wait()

    async with open_records(_url(path), seal=SEAL) as records:
        stored = await _numbers(records)
        # The one on its way may be there, too.
        assert stored in (told, [*told, told[-1] + 1])
        await records.add_job(a_job(20_000), rule_id=None, quota=PLENTY)


async def test_a_full_disk_is_told_and_costs_nothing_that_was_stored(path: Path) -> None:
    # As large as the database already is, so that it is the log beside it that cannot grow.
    process = await _adding(path, limit_bytes=_size_bytes(path))
    assert process.stdout is not None
    *numbers, failure = (await process.stdout.read()).decode().splitlines()
    await process.wait()

    assert failure.startswith("the database does not answer: SQLITE_")
    # Reading still works.
    assert failure.endswith(f" {len(numbers)}")
    assert len(numbers) > 5
    async with open_records(_url(path), seal=SEAL) as records:
        assert await _numbers(records) == [int(number) for number in numbers]
        changed = await records.change_job(
            a_job(1).job_id, lambda job: replace(job, description="space again")
        )
        assert changed.revision == 1
