"""SQLite connections that read on the caller's thread, for SQLAlchemy's asyncio side.

The usual driver takes a thread for each connection, and each statement a dozen hops between the
threads: with the processors busy that is the time of an answer. A reader of a database in WAL mode
waits for nobody, and what we ask takes some ten microseconds.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self


class ReadingCursor:
    """What SQLAlchemy expects of an asyncio driver's cursor; nothing in it ever waits."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.arraysize = cursor.arraysize

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._cursor.execute(statement, parameters)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class ReadingConnection:
    """The same of a connection."""

    isolation_level = None

    def __init__(self, path: str, patience_s: float) -> None:
        # Pools close connections on whatever thread they are.
        self._connection = sqlite3.connect(
            path, timeout=patience_s, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only = ON")

    def cursor(self) -> ReadingCursor:
        return ReadingCursor(self._connection.cursor())

    async def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], **options: Any
    ) -> None:
        self._connection.create_function(name, arguments, function, **options)

    async def commit(self) -> None:
        self._connection.commit()

    async def rollback(self) -> None:
        self._connection.rollback()

    async def close(self) -> None:
        self._connection.close()

    def stop(self) -> None:
        """Close at once."""
        self._connection.close()


async def connect(path: str, patience_s: float) -> ReadingConnection:
    """Raises `sqlite3.Error`."""
    return ReadingConnection(path, patience_s)
