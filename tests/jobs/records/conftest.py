"""Records on both kinds of database, opened once or twice."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.jobs.records.samples import SEAL, fill
from tests.support.postgres import PostgresServer, postgres_server
from worker.jobs.ports import Records
from worker.jobs.records import open_records
from worker.jobs.records.schema import metadata

UNHURRIED_S = 60.0
"""Neighbours of this machine may be busy."""
_FILLED = ("accounts", "apps")
_NUMBERS = itertools.count(1)


async def _make_template(url: str) -> None:
    async with open_records(url, seal=SEAL) as records:
        await fill(records)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def filled_database(postgres: PostgresServer) -> str:
    """Name of a database with `fill`'s rows, to be copied."""
    postgres.sql("CREATE DATABASE filled")
    asyncio.run(_make_template(postgres.url("filled")))
    return "filled"


@pytest.fixture(scope="session")
def worn_database(postgres: PostgresServer, filled_database: str) -> str:
    """Name of a copy that tests use one after the other, with `fill`'s rows laid aside in it."""
    postgres.sql(f"CREATE DATABASE worn TEMPLATE {filled_database}")
    for table in _FILLED:
        postgres.sql(f"CREATE TABLE kept_{table} AS TABLE {table}", database="worn")
    return "worn"


@pytest.fixture(scope="session")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file of SQLite."""
    path = tmp_path_factory.mktemp("filled") / "records.db"
    asyncio.run(_make_template(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database in which nothing is, not even tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty' / 'records.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with two accounts, each with an application."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("filled_file"), tmp_path / "records.db")
        return f"sqlite:///{tmp_path / 'records.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("worn_database")
    # One database for all: making one costs more than most tests.
    begin_again = [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid != pg_backend_pid()",
        f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY",
        *(f"INSERT INTO {table} TABLE kept_{table}" for table in _FILLED),
    ]
    server.sql(";".join(begin_again), database=name)
    return server.url(name)


@pytest.fixture
async def records(url: str) -> AsyncIterator[Records]:
    async with open_records(url, seal=SEAL, patience_s=UNHURRIED_S) as opened:
        yield opened


@pytest.fixture
async def planes(url: str) -> AsyncIterator[tuple[Records, Records]]:
    """Two control planes on one database."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_records(url, seal=SEAL, patience_s=UNHURRIED_S)),
            await stack.enter_async_context(open_records(url, seal=SEAL, patience_s=UNHURRIED_S)),
        )
