"""Statements on the event loop, commits on a thread: who is cancelled, and who has to wait."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.jobs.records.samples import ACME, PLENTY, SEAL, a_job
from worker.jobs.records import open_records
from worker.jobs.records.sqlite_connection import Connection, connect

STEPS = 24
"""Of the event loop; an insert takes about ten until its commit is under way."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
    return path


@pytest.fixture
def url(filled_file: Path, tmp_path: Path) -> str:
    path = tmp_path / "records.db"
    path.write_bytes(filled_file.read_bytes())
    return f"sqlite:///{path}"


async def adding(path: Path) -> Connection:
    """With a row that is not committed yet."""
    connection = await connect(str(path), 0.0, writes=True)
    await connection.cursor().execute("BEGIN IMMEDIATE")
    await connection.cursor().execute("INSERT INTO numbers VALUES (?)", (1,))
    return connection


def stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [count] = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return int(count)


async def cancelled_while_it_commits(connection: Connection) -> None:
    commit = asyncio.create_task(connection.commit())
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit


@pytest.mark.parametrize("after", [Connection.rollback, Connection.close])
async def test_a_commit_whose_caller_was_cancelled_is_waited_for(
    path: Path, after: Callable[[Connection], Awaitable[None]]
) -> None:
    connection = await adding(path)
    await cancelled_while_it_commits(connection)
    await after(connection)
    assert stored(path) == 1
    await connection.close()


async def test_what_is_not_committed_is_rolled_back(path: Path) -> None:
    connection = await adding(path)
    await connection.rollback()
    await connection.cursor().execute("BEGIN IMMEDIATE")
    await connection.close()
    assert stored(path) == 0


async def test_a_reader_changes_nothing(path: Path) -> None:
    connection = await connect(str(path), 0.0, writes=False)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await connection.cursor().execute("INSERT INTO numbers VALUES (1)")
    await connection.close()


async def test_who_waits_for_another_process_holds_up_nobody_and_goes_on_once_it_is_done(
    url: str,
) -> None:
    async with open_records(url, seal=SEAL) as records:
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(records.set_password(ACME, "new"))
            for _ in range(5):
                assert await records.account(ACME) is not None
            assert not writing.done()
            other.execute("ROLLBACK")
        await writing
        account = await records.account(ACME)
        assert account is not None and account.password_hash == "new"


async def test_who_is_cancelled_at_any_moment_leaves_the_database_to_others(
    url: str,
) -> None:
    async with open_records(url, seal=SEAL) as records:
        for steps in range(STEPS):
            adding = asyncio.create_task(
                records.add_job(a_job(1000 + steps), rule_id=None, quota=PLENTY)
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            was_cancelled = adding.cancel()
            outcome = (await asyncio.gather(adding, return_exceptions=True))[0]
            assert isinstance(outcome, asyncio.CancelledError) is was_cancelled
            await records.add_job(a_job(steps), rule_id=None, quota=PLENTY)
        numbers = {int(job.job_id, 16) for job in await records.unfinished_jobs()}
    assert numbers >= set(range(STEPS))
    # Cancelled before and after the commit began.
    assert 1000 not in numbers and 1000 + STEPS - 1 in numbers
