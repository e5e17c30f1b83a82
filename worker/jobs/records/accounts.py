"""Accounts and their access keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, exists, select, update

from worker.errors import InUse, NameTaken, NotFound
from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import access_keys, accounts, apps, jobs, tokens
from worker.jobs.records.seal import Seal
from worker.jobs.records.tenancy import locked_account
from worker.jobs.records.theme import Theme
from worker.jobs.values import AccessKey, Account


class Accounts(Theme):
    """As in `ports.Records`."""

    async def add_account(self, account: Account) -> None:
        async with self._database.write() as transaction:
            row = {
                "account_id": account.account_id,
                "name": account.name,
                "created_unix_ms": account.created_unix_ms,
                "password_hash": account.password_hash,
            }
            if not await insert_new(transaction, accounts, row):
                raise NameTaken("there is an account of that name")

    async def account(self, account_id: str) -> Account | None:
        return await self._account_where(accounts.c.account_id == account_id)

    async def account_named(self, name: str) -> Account | None:
        return await self._account_where(accounts.c.name == name)

    async def _account_where(self, condition: Any) -> Account | None:
        async with self._database.read() as transaction:
            row = (await transaction.execute(select(accounts).where(condition))).first()
        return None if row is None else _account(row)

    async def accounts(self) -> Sequence[Account]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(select(accounts).order_by(accounts.c.name))
            return tuple(_account(row) for row in rows)

    async def set_password(self, account_id: str, password_hash: str | None) -> None:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await transaction.execute(
                update(accounts)
                .where(accounts.c.account_id == account_id)
                .values(password_hash=password_hash)
            )
            await transaction.execute(delete(tokens).where(tokens.c.account_id == account_id))

    async def remove_account(self, account_id: str) -> None:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            lives = select(
                exists().where(apps.c.account_id == account_id)
                | exists().where(jobs.c.account_id == account_id, ~jobs.c.is_over)
            )
            if (await transaction.execute(lives)).scalar_one():
                raise InUse("the account has applications, or workers that still deliver")
            await transaction.execute(delete(accounts).where(accounts.c.account_id == account_id))

    async def add_key(self, key: AccessKey) -> None:
        """Raises `NotFound` without such an account, `NameTaken` when the AK is there."""
        async with self._database.write() as transaction:
            await locked_account(transaction, key.account_id)
            row = {
                "access_key": key.access_key,
                "account_id": key.account_id,
                "secret": self._seal.encrypt_text(key.secret, access_keys.c.secret, key.access_key),
                "created_unix_ms": key.created_unix_ms,
            }
            if not await insert_new(transaction, access_keys, row):
                raise NameTaken("there is such an access key")

    async def key(self, access_key: str) -> AccessKey | None:
        async with self._database.read() as transaction:
            found = await transaction.execute(
                select(access_keys).where(access_keys.c.access_key == access_key)
            )
            row = found.first()
        return None if row is None else _key(self._seal, row)

    async def keys(self, account_id: str) -> Sequence[AccessKey]:
        async with self._database.read() as transaction:
            rows = await transaction.execute(
                select(access_keys)
                .where(access_keys.c.account_id == account_id)
                .order_by(access_keys.c.created_unix_ms, access_keys.c.access_key)
            )
            return tuple(_key(self._seal, row) for row in rows)

    async def remove_key(self, access_key: str) -> None:
        async with self._database.write() as transaction:
            removed = await transaction.execute(
                delete(access_keys).where(access_keys.c.access_key == access_key)
            )
            if removed.rowcount == 0:
                raise NotFound("no such access key")


def _account(row: Row[Any]) -> Account:
    return Account(
        account_id=row.account_id,
        name=row.name,
        created_unix_ms=row.created_unix_ms,
        password_hash=row.password_hash,
    )


def _key(seal: Seal, row: Row[Any]) -> AccessKey:
    return AccessKey(
        access_key=row.access_key,
        account_id=row.account_id,
        secret=seal.decrypt_text(row.secret, access_keys.c.secret, row.access_key),
        created_unix_ms=row.created_unix_ms,
    )
