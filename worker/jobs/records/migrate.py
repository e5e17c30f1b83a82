"""Bringing a database's schema up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.errors import RecordsDown

_LOCK = 0x6D69787265636F72
"""Number of the advisory lock under which PostgreSQL databases are migrated: "mixrecor"."""


async def migrate(transaction: AsyncConnection) -> None:
    """To the newest version, in *transaction*: wholly or not at all, one process at a time.

    Raises `RecordsDown` when a newer program has been here.
    """
    if transaction.dialect.name == "postgresql":
        await transaction.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    await transaction.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if not known.issuperset(MigrationContext.configure(connection).get_current_heads()):
        raise RecordsDown("the database was written by a newer version of this program")
    command.upgrade(config, "head")
