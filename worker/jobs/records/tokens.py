"""Tokens that were handed out."""

from sqlalchemy import delete, select

from worker.jobs.records.schema import tokens
from worker.jobs.records.tenancy import locked_account
from worker.jobs.records.theme import Theme
from worker.jobs.values import Token


class Tokens(Theme):
    """As in `ports.Records`."""

    async def add_token(self, token: Token) -> None:
        """Raises `NotFound` without such an account."""
        async with self._database.write() as transaction:
            await locked_account(transaction, token.account_id)
            await transaction.execute(
                tokens.insert().values(
                    digest=token.digest,
                    account_id=token.account_id,
                    issued_unix_ms=token.issued_unix_ms,
                    expires_unix_ms=token.expires_unix_ms,
                )
            )

    async def token(self, digest: bytes) -> Token | None:
        async with self._database.read() as transaction:
            found = await transaction.execute(select(tokens).where(tokens.c.digest == digest))
            row = found.first()
        if row is None:
            return None
        return Token(
            digest=row.digest,
            account_id=row.account_id,
            issued_unix_ms=row.issued_unix_ms,
            expires_unix_ms=row.expires_unix_ms,
        )

    async def revoke_token(self, digest: bytes) -> None:
        async with self._database.write() as transaction:
            await transaction.execute(delete(tokens).where(tokens.c.digest == digest))
