"""Transactions of one database, SQLite or PostgreSQL, and what may go wrong in them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from worker.errors import InternalError, RecordsDown


@dataclass(frozen=True, slots=True)
class Database:
    """Reading transactions see one state and never wait; writing ones wait for each other.

    On SQLite a writing transaction has the whole database to itself from its first moment. On
    PostgreSQL it has the rows it locked: `tenancy.locked_account` first, then others.
    """

    reader: AsyncEngine
    writer: AsyncEngine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Raises `RecordsDown`."""
        with translated():
            async with self.reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Stored for good once left without an exception; with one, nothing is.

        Raises `RecordsDown`, and `InternalError` for a row that the schema does not allow.
        """
        with translated():
            async with self.writer.begin() as connection:
                yield connection

    async def close(self) -> None:
        await self.reader.dispose()
        await self.writer.dispose()


async def insert_new(transaction: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless it would break something unique; whether it was inserted."""
    # Two constructs of the library with nothing in common but this method.
    insert: Any = sqlite.insert if transaction.dialect.name == "sqlite" else postgresql.insert
    new = insert(table).values(values).on_conflict_do_nothing().returning(literal_column("1"))
    return (await transaction.execute(new)).first() is not None


@contextmanager
def translated() -> Iterator[None]:
    """Make the library's errors ours; their texts name an error, never a value."""
    try:
        yield
    except (IntegrityError, DataError) as exc:
        raise InternalError(f"the database refused a row: {_named(exc)}") from None
    except DBAPIError as exc:
        raise RecordsDown(f"the database does not answer: {_named(exc)}") from exc
    except (PoolTimeout, OSError) as exc:
        raise RecordsDown(f"the database does not answer: {type(exc).__name__}") from exc


def _named(error: DBAPIError) -> str:
    """SQLITE_BUSY, or a five-character state of PostgreSQL; the driver's text may hold values."""
    cause = error.orig
    for name in ("sqlite_errorname", "sqlstate"):
        if value := getattr(cause, name, None):
            return str(value)
    return type(cause).__name__
