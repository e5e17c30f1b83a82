"""The tables as the newest migration leaves them.

Instants are `_unix_ms`. Columns made by `_sealed` hold what `seal.Seal` made of a secret.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

LIVE = text("state <> 'stopped'")
WAITING = text("fate = 'waiting'")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _sealed(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable, info={"sealed": True})


def _owner() -> Column[str]:
    return Column(
        "account_id",
        String,
        ForeignKey("accounts.account_id", ondelete="CASCADE"),
        nullable=False,
    )


accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String, primary_key=True),
    Column("name", String, nullable=False),
    _instant("created_unix_ms"),
    Column("password_hash", String),
    UniqueConstraint("name"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key", String, primary_key=True),
    _owner(),
    _sealed("secret"),
    _instant("created_unix_ms"),
    Index(None, "account_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _owner(),
    _instant("issued_unix_ms"),
    _instant("expires_unix_ms"),
    Index(None, "account_id"),
    Index(None, "expires_unix_ms"),
)

# Of whom a request is, its digest tells; status and body are there once it was answered.
requests = Table(
    "requests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _instant("expires_unix_ms"),
    Column("status", Integer),
    _sealed("body", nullable=True),
    Index(None, "expires_unix_ms"),
)

apps = Table(
    "apps",
    metadata,
    Column("app_id", String, primary_key=True),
    Column("account_id", String, ForeignKey("accounts.account_id"), nullable=False),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False),
    _instant("state_unix_ms"),
    _instant("created_unix_ms"),
    _sealed("app_key"),
    _sealed("callback_url", nullable=True),
    _sealed("callback_auth_key", nullable=True),
    _instant("callback_updated_unix_ms", nullable=True),
    Column("auto_is_on", Boolean),
    Column("auto_rule_id", String),
    _instant("auto_updated_unix_ms", nullable=True),
    UniqueConstraint("account_id", "name"),
    Index(None, "account_id", "created_unix_ms", "app_id"),
)

rules = Table(
    "rules",
    metadata,
    Column("rule_id", String, primary_key=True),
    Column("account_id", String, nullable=False),
    Column("app_id", String, ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False),
    Column("location", String, nullable=False),
    Column("body", Text, nullable=False),
    _instant("created_unix_ms"),
    _instant("updated_unix_ms"),
    UniqueConstraint("app_id", "location"),
)

bucket_grants = Table(
    "bucket_grants",
    metadata,
    _owner(),
    Column("bucket", String, nullable=False),
    PrimaryKeyConstraint("account_id", "bucket"),
)

# A job outlives its application while its worker still delivers, so app_id refers to no row.
jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    _owner(),
    Column("app_id", String, nullable=False),
    Column("rule_id", String),
    Column("kind", String, nullable=False),
    Column("unique_id", String, nullable=False),
    Column("room_id", String, nullable=False),
    Column("stream_name", String, nullable=False),
    _instant("created_unix_ms"),
    _instant("updated_unix_ms"),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("description", Text, nullable=False),
    _instant("started_unix_ms"),
    _instant("stopped_unix_ms", nullable=True),
    Column("cores", Float, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("told_attempts", Text, nullable=False),
    Column("is_over", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # Last: SQLite reads a row from its start, and what is searched for is found before these.
    _sealed("asked"),
    _sealed("document"),
    Index(None, "account_id", "created_unix_ms", "job_id"),
)
Index(
    "uq_jobs_live_unique_id",
    jobs.c.app_id,
    jobs.c.unique_id,
    unique=True,
    sqlite_where=LIVE,
    postgresql_where=LIVE,
)
Index("ix_jobs_live", jobs.c.account_id, sqlite_where=LIVE, postgresql_where=LIVE)
Index(
    "ix_jobs_unfinished",
    jobs.c.created_unix_ms,
    sqlite_where=text("NOT is_over"),
    postgresql_where=text("NOT is_over"),
)

messages = Table(
    "messages",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("event_id", String, nullable=False),
    Column("job_id", String, ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("account_id", String, nullable=False),
    Column("app_id", String, nullable=False),
    _instant("created_unix_ms"),
    Column("attempts", Integer, nullable=False),
    _instant("failing_unix_ms", nullable=True),
    _instant("due_unix_ms"),
    Column("fate", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("event_id"),
    Index(None, "job_id"),
    # Numbers are not given twice: rows at the end go away with their jobs.
    sqlite_autoincrement=True,
)
Index(
    "ix_messages_waiting",
    messages.c.job_id,
    messages.c.number,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)
Index(
    "ix_messages_due",
    messages.c.due_unix_ms,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    _instant("until_unix_ms"),
)
