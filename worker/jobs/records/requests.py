"""Signed requests that were seen, and what they were answered."""

from sqlalchemy import delete, select, update

from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import requests, tokens
from worker.jobs.records.theme import Theme
from worker.jobs.values import Reply


class Requests(Theme):
    """As in `ports.Records`."""

    async def claim_request(self, digest: bytes, expires_unix_ms: int) -> bool:
        async with self._database.write() as transaction:
            row = {"digest": digest, "expires_unix_ms": expires_unix_ms}
            return await insert_new(transaction, requests, row)

    async def keep_reply(self, digest: bytes, reply: Reply) -> None:
        """Nothing for a request that was not claimed, or has expired and was forgotten."""
        async with self._database.write() as transaction:
            body = self._seal.encrypt(reply.body, requests.c.body, digest)
            await transaction.execute(
                update(requests)
                .where(requests.c.digest == digest)
                .values(status=reply.status, body=body)
            )

    async def kept_reply(self, digest: bytes) -> Reply | None:
        async with self._database.read() as transaction:
            found = await transaction.execute(select(requests).where(requests.c.digest == digest))
            row = found.first()
        if row is None or row.status is None:
            return None
        body = self._seal.decrypt(row.body, requests.c.body, digest)
        return Reply(status=row.status, body=body)

    async def release_request(self, digest: bytes) -> None:
        async with self._database.write() as transaction:
            await transaction.execute(delete(requests).where(requests.c.digest == digest))

    async def forget_expired(self, now_unix_ms: int) -> int:
        forgotten = 0
        async with self._database.write() as transaction:
            for table in (tokens, requests):
                # Skipped: what somebody else changes or forgets at this moment.
                expired = (
                    select(table.c.digest)
                    .where(table.c.expires_unix_ms <= now_unix_ms)
                    .with_for_update(skip_locked=True)
                )
                removed = await transaction.execute(
                    delete(table).where(table.c.digest.in_(expired))
                )
                forgotten += removed.rowcount
        return forgotten
