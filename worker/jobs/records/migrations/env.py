"""Run by alembic: carries the steps out on the connection that `migrate` has opened."""

from alembic import context

from worker.jobs.records.schema import metadata

# Begun and ended by `migrate`, together with its lock.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
