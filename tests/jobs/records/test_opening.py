"""Opening: schema versions, several at once, what is refused."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from setuptools import find_packages
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.jobs.records.samples import ACME, ACME_APP, SEAL, a_job, a_message, a_rule, fill
from tests.support.postgres import PostgresServer
from worker.errors import RecordsDown
from worker.jobs.records import migrate as migrate_module
from worker.jobs.records import open_records
from worker.jobs.records.schema import metadata

FROZEN = Path(__file__).parent / "version_1"
NEWER = "UPDATE alembic_version SET version_num = '9999'"


def _engine(url: str) -> AsyncEngine:
    parsed = make_url(url)
    driver = "aiosqlite" if parsed.get_backend_name() == "sqlite" else "asyncpg"
    return create_async_engine(parsed.set(drivername=f"{parsed.drivername}+{driver}"))


async def _execute(url: str, statement: str) -> None:
    engine = _engine(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()


async def test_migrations_leave_the_schema_of_the_code(empty_url: str) -> None:
    def differences(connection: Connection) -> object:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with open_records(empty_url, seal=SEAL):
        pass
    engine = _engine(empty_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def _created_sqlite(path: Path) -> dict[str, list[str]]:
    """Each table's or index's clauses, in order of the alphabet."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master"
            " WHERE sql IS NOT NULL AND name != 'alembic_version'"
        ).fetchall()
    return {
        name: sorted(clause.rstrip(" )") for clause in " ".join(sql.split()).split(", "))
        for name, sql in rows
    }


async def test_migrated_tables_are_word_for_word_those_of_the_code(tmp_path: Path) -> None:
    """Conditions of indexes and cascades, too, which the comparison above does not see."""
    async with open_records(f"sqlite:///{tmp_path / 'migrated.db'}", seal=SEAL):
        pass
    engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert _created_sqlite(tmp_path / "migrated.db") == _created_sqlite(tmp_path / "made.db")


async def test_migrated_indexes_are_word_for_word_those_of_the_code(
    postgres: PostgresServer,
) -> None:
    postgres.sql("CREATE DATABASE migrated")
    postgres.sql("CREATE DATABASE made")
    async with open_records(postgres.url("migrated"), seal=SEAL):
        pass
    engine = _engine(postgres.url("made"))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()

    for question in (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename != 'alembic_version' ORDER BY 1",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid::regclass::text != 'alembic_version'"
        " AND connamespace = 'public'::regnamespace ORDER BY conrelid::regclass::text, 2",
    ):
        of_code = postgres.sql(question, database="made")
        assert postgres.sql(question, database="migrated") == of_code
        assert len(of_code.splitlines()) > 10


def _thaw(url: str, request: pytest.FixtureRequest) -> None:
    """Make the database that version 1 left, with rows in it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(FROZEN.with_suffix(".sqlite.sql").read_text("utf-8"))
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    dump = FROZEN.with_suffix(".postgresql.sql").read_text("utf-8")
    postgres.sql(dump, database=str(parsed.database))


async def test_a_database_of_version_1_keeps_its_rows(
    empty_url: str, request: pytest.FixtureRequest
) -> None:
    _thaw(empty_url, request)
    async with open_records(empty_url, seal=SEAL) as records:
        assert (await records.app(ACME, ACME_APP)).app_key == "key of the app"
        assert await records.rules(ACME, ACME_APP, page=0, size=9) == (a_rule(),)
        assert await records.unfinished_jobs() == (a_job(),)
        (message,) = await records.due_messages(9999, 10)
        assert message.body == a_message().body
        assert message.number == 1


async def test_control_planes_that_start_together_make_the_schema_once(empty_url: str) -> None:
    async def start(stack: AsyncExitStack) -> None:
        await stack.enter_async_context(open_records(empty_url, seal=SEAL))

    async with AsyncExitStack() as stack:
        await asyncio.gather(*(start(stack) for _ in range(6)))
    async with open_records(empty_url, seal=SEAL) as records:
        await fill(records)


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = migrate_module._upgrade

    def fail(connection: Connection) -> None:
        upgrade(connection)
        connection.exec_driver_sql("SELECT 1 FROM no_such_table")

    monkeypatch.setattr(migrate_module, "_upgrade", fail)
    with pytest.raises(RecordsDown):
        async with open_records(empty_url, seal=SEAL):
            pass
    monkeypatch.undo()

    engine = _engine(empty_url)
    async with engine.connect() as connection:
        tables = await connection.run_sync(engine.dialect.get_table_names)
    await engine.dispose()
    assert tables == []
    async with open_records(empty_url, seal=SEAL) as records:
        await fill(records)


async def test_a_newer_database_is_refused(empty_url: str) -> None:
    async with open_records(empty_url, seal=SEAL):
        pass
    await _execute(empty_url, NEWER)
    with pytest.raises(RecordsDown, match="newer version"):
        async with open_records(empty_url, seal=SEAL):
            pass


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@host/name", "no url: secret", "sqlite:///:memory:", "sqlite://"]
)
async def test_other_addresses_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(RecordsDown) as caught:
        async with open_records(url, seal=SEAL):
            pass
    assert "secret" not in str(caught.value)


def test_migrations_are_part_of_the_installed_package() -> None:
    packages = find_packages(include=["worker*"])
    assert "worker.jobs.records.migrations.versions" in packages
