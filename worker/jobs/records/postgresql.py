"""PostgreSQL: several control planes share one database."""

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from worker.jobs.records.database import Database

_CONNECTIONS = 8


def postgresql_database(url: URL, patience_s: float) -> Database:
    """Connections are made when they are needed, at most eight.

    Of a URL's options those of asyncpg are known, and libpq's `sslmode`.
    """
    if mode := url.query.get("sslmode"):
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    patience_ms = str(round(patience_s * 1000))
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        connect_args={
            "timeout": patience_s,
            "command_timeout": patience_s,
            "server_settings": {
                "application_name": "mixworker",
                "lock_timeout": patience_ms,
                # A control plane that froze in the middle of a transaction loses its locks.
                "idle_in_transaction_session_timeout": patience_ms,
            },
        },
        isolation_level="READ COMMITTED",
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=patience_s,
        # After a restart of the server no call fails because of a connection from before.
        pool_pre_ping=True,
        hide_parameters=True,
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Database(reader=reader, writer=engine)
