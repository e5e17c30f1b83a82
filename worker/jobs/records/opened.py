"""Opening the records of a URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from worker.errors import RecordsDown
from worker.jobs.ports import Records
from worker.jobs.records.database import Database, translated
from worker.jobs.records.migrate import migrate
from worker.jobs.records.postgresql import postgresql_database
from worker.jobs.records.resealing import reseal
from worker.jobs.records.seal import Seal
from worker.jobs.records.sql_records import SqlRecords
from worker.jobs.records.sqlite import check, sqlite_database

PATIENCE_S = 10.0
"""How long a call waits for a connection, and how long for a lock."""
_OPENING_PATIENCE_S = 60.0
"""The same while opening: another control plane may be bringing the schema up to date."""


@asynccontextmanager
async def open_records(
    url: str, *, seal: Seal, patience_s: float = PATIENCE_S
) -> AsyncIterator[Records]:
    """Open `sqlite:///path` (created if it is not there) or `postgresql://user@host/database`.

    The schema is brought up to date and what an older key has sealed is sealed anew, by one
    process at a time. Raises `RecordsDown` for a database that is gone, corrupt, or written by
    a newer version, for secrets that no key of *seal* opens, and for other kinds of URL.
    """
    address = _parsed(url)
    async with _database(address, _OPENING_PATIENCE_S) as database, database.write() as transaction:
        await check(transaction)
        await migrate(transaction)
        await reseal(transaction, seal)
    async with _database(address, patience_s) as database:
        yield SqlRecords(database, seal)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise RecordsDown("the address of the database is no URL") from None


@asynccontextmanager
async def _database(url: URL, patience_s: float) -> AsyncIterator[Database]:
    database = _of_kind(url, patience_s)
    try:
        yield database
    finally:
        await database.close()


def _of_kind(url: URL, patience_s: float) -> Database:
    match url.get_backend_name():
        case "sqlite":
            with translated():
                return sqlite_database(url, patience_s)
        case "postgresql":
            return postgresql_database(url, patience_s)
    raise RecordsDown("the database is neither SQLite nor PostgreSQL")
