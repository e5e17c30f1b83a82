"""Buckets that accounts have granted."""

from collections.abc import Collection

from sqlalchemy import delete, select

from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import bucket_grants
from worker.jobs.records.tenancy import locked_account
from worker.jobs.records.theme import Theme


class Buckets(Theme):
    """As in `ports.Records`."""

    async def set_bucket_grant(self, account_id: str, bucket: str, *, is_granted: bool) -> None:
        """Raises `NotFound` without such an account."""
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            row = {"account_id": account_id, "bucket": bucket}
            if is_granted:
                await insert_new(transaction, bucket_grants, row)
                return
            await transaction.execute(delete(bucket_grants).filter_by(**row))

    async def granted_buckets(self, account_id: str) -> Collection[str]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(bucket_grants.c.bucket).where(bucket_grants.c.account_id == account_id)
            )
            return frozenset(rows.scalars())
