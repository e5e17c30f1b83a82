"""SQLite: one file, one writing connection, a few reading ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from worker.errors import RecordsDown
from worker.jobs.records.database import Database
from worker.jobs.records.sqlite_connection import connect

_READERS = 4


def sqlite_database(url: URL, patience_s: float) -> Database:
    """The file is made if it is not there, for its owner only, as are folders above it."""
    if not url.database or url.database.startswith((":memory:", "file:")):
        raise RecordsDown("an SQLite database is a file: sqlite:///path")
    path = url.database
    _create(Path(path))
    return Database(
        reader=_engine(url, path, patience_s, size=_READERS, writes=False),
        # Writers of one process queue here, in order, instead of polling for the file's lock.
        writer=_engine(url, path, patience_s, size=1, writes=True),
    )


async def check(transaction: AsyncConnection) -> None:
    """Raises `RecordsDown` for an SQLite file that is damaged; of others nothing is asked."""
    if transaction.dialect.name != "sqlite":
        return
    answer = await transaction.execute(text("PRAGMA quick_check(1)"))
    if answer.scalar() != "ok":
        raise RecordsDown("the database is damaged")


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _engine(url: URL, path: str, patience_s: float, *, size: int, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        async_creator=lambda: connect(path, patience_s, writes=writes),
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience_s,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    # The driver begins no transactions by itself.
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    event.listen(engine.sync_engine, "begin", _begin(begin))
    return engine


def _begin(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin


def _prepare(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        # Readers go on beside a writer.
        "journal_mode = WAL",
        # A commit is on the disk when it returns, which WAL's default leaves to the next
        # checkpoint: a job that was acknowledged survives a power cut, too.
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
