"""SQLite connections on the caller's thread, for SQLAlchemy's asyncio side.

The usual driver takes a thread for each connection, and each statement a dozen hops between the
threads: with the processors busy that is the time of an answer. In WAL mode a reader waits for
nobody, and a writer for the lock (here without blocking) and for the disk at its commit, which
alone is left to a thread. What we ask in between takes some ten microseconds a statement.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

_LOOK_S = 0.005
"""Between two attempts to get a lock that another process has."""


class Cursor:
    """What SQLAlchemy expects of an asyncio driver's cursor."""

    def __init__(self, cursor: sqlite3.Cursor, patience_s: float) -> None:
        self._cursor = cursor
        self._patience_s = patience_s
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
        """Waits while another process has the lock; raises `sqlite3.Error`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._patience_s
        while True:
            try:
                self._cursor.execute(statement, parameters)
                return
            except sqlite3.OperationalError as exc:
                # Extended codes have the plain one in their lowest byte. It can only be the
                # first statement of a transaction, so nothing has been done by halves.
                is_busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or loop.time() >= until_s:
                    raise
            await asyncio.sleep(_LOOK_S)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class Connection:
    """The same of a connection. Owned by one task at a time, on the event loop's thread."""

    isolation_level = None

    def __init__(self, path: str, patience_s: float, *, writes: bool) -> None:
        """*patience_s*: how long a statement waits for another process's lock."""
        self._patience_s = patience_s
        self._writes = writes
        # Commits are on another thread, and pools close connections on whatever thread they are.
        # SQLAlchemy's adapter looks at this attribute, by this name, too.
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._commit: asyncio.Future[None] | None = None
        """The last one; whoever waited for it may have been cancelled."""
        if not writes:
            self._connection.execute("PRAGMA query_only = ON")

    def cursor(self) -> Cursor:
        return Cursor(self._connection.cursor(), self._patience_s)

    async def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], **options: Any
    ) -> None:
        self._connection.create_function(name, arguments, function, **options)

    async def commit(self) -> None:
        """Goes on when it is cancelled. Raises `sqlite3.Error`."""
        if not self._writes:
            self._connection.commit()
            return
        loop = asyncio.get_running_loop()
        self._commit = loop.run_in_executor(self._disk, self._connection.commit)
        await asyncio.shield(self._commit)

    async def rollback(self) -> None:
        await self._committed()
        self._connection.rollback()

    async def close(self) -> None:
        await self._committed()
        self.stop()

    def stop(self) -> None:
        """Close at once, or behind a commit that is under way."""
        if self._commit is None or self._commit.done():
            self._connection.close()
        else:
            self._disk.submit(self._connection.close)
        self._disk.shutdown(wait=False)

    async def _committed(self) -> None:
        if self._commit is not None:
            await asyncio.wait([self._commit])


async def connect(path: str, patience_s: float, *, writes: bool) -> Connection:
    """Raises `sqlite3.Error`."""
    return Connection(path, patience_s, writes=writes)
