"""The first version of the schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until_unix_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "requests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_requests"),
    )
    op.create_index("ix_requests_expires_unix_ms", "requests", ["expires_unix_ms"])
    op.create_table(
        "access_keys",
        sa.Column("access_key", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.account_id"],
            name="fk_access_keys_account_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("access_key", name="pk_access_keys"),
    )
    op.create_index("ix_access_keys_account_id", "access_keys", ["account_id"])
    op.create_table(
        "apps",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("app_key", sa.LargeBinary(), nullable=False),
        sa.Column("callback_url", sa.LargeBinary(), nullable=True),
        sa.Column("callback_auth_key", sa.LargeBinary(), nullable=True),
        sa.Column("callback_updated_unix_ms", sa.BigInteger(), nullable=True),
        sa.Column("auto_is_on", sa.Boolean(), nullable=True),
        sa.Column("auto_rule_id", sa.String(), nullable=True),
        sa.Column("auto_updated_unix_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_apps_account_id"),
        sa.PrimaryKeyConstraint("app_id", name="pk_apps"),
        sa.UniqueConstraint("account_id", "name", name="uq_apps_account_id_name"),
    )
    op.create_index(
        "ix_apps_account_id_created_unix_ms_app_id",
        "apps",
        ["account_id", "created_unix_ms", "app_id"],
    )
    op.create_table(
        "bucket_grants",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.account_id"],
            name="fk_bucket_grants_account_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "bucket", name="pk_bucket_grants"),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("unique_id", sa.String(), nullable=False),
        sa.Column("room_id", sa.String(), nullable=False),
        sa.Column("stream_name", sa.String(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("started_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("stopped_unix_ms", sa.BigInteger(), nullable=True),
        sa.Column("cores", sa.Float(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("told_attempts", sa.Text(), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name="fk_jobs_account_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_account_id_created_unix_ms_job_id",
        "jobs",
        ["account_id", "created_unix_ms", "job_id"],
    )
    op.create_index(
        "ix_jobs_live",
        "jobs",
        ["account_id"],
        sqlite_where=sa.text("state <> 'stopped'"),
        postgresql_where=sa.text("state <> 'stopped'"),
    )
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["created_unix_ms"],
        sqlite_where=sa.text("NOT is_over"),
        postgresql_where=sa.text("NOT is_over"),
    )
    op.create_index(
        "uq_jobs_live_unique_id",
        "jobs",
        ["app_id", "unique_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'stopped'"),
        postgresql_where=sa.text("state <> 'stopped'"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("issued_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_unix_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name="fk_tokens_account_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
    )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"])
    op.create_index("ix_tokens_expires_unix_ms", "tokens", ["expires_unix_ms"])
    op.create_table(
        "messages",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failing_unix_ms", sa.BigInteger(), nullable=True),
        sa.Column("due_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("fate", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_messages_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_messages"),
        sa.UniqueConstraint("event_id", name="uq_messages_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_messages_due",
        "messages",
        ["due_unix_ms"],
        sqlite_where=sa.text("fate = 'waiting'"),
        postgresql_where=sa.text("fate = 'waiting'"),
    )
    op.create_index("ix_messages_job_id", "messages", ["job_id"])
    op.create_index(
        "ix_messages_waiting",
        "messages",
        ["job_id", "number"],
        sqlite_where=sa.text("fate = 'waiting'"),
        postgresql_where=sa.text("fate = 'waiting'"),
    )
    op.create_table(
        "rules",
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_unix_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["app_id"], ["apps.app_id"], name="fk_rules_app_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rule_id", name="pk_rules"),
        sa.UniqueConstraint("app_id", "location", name="uq_rules_app_id_location"),
    )
