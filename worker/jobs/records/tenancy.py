"""What keeps tenants apart and their changes in line."""

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.errors import NotFound
from worker.jobs.records.schema import accounts, apps


async def locked_account(transaction: AsyncConnection, account_id: str) -> None:
    """Let nobody else change what the account owns until this transaction ends.

    The first lock of every transaction that takes more than one: what it reads afterwards stays
    true until it ends, and no two can wait for each other. Raises `NotFound`.
    """
    # FOR NO KEY UPDATE: new tokens and the like, which only refer to the account, do not wait.
    # SQLite has no such clause and needs none.
    account = (
        select(accounts.c.account_id)
        .where(accounts.c.account_id == account_id)
        .with_for_update(key_share=True)
    )
    if (await transaction.execute(account)).first() is None:
        raise NotFound("no such account")


async def owned_app(transaction: AsyncConnection, account_id: str, app_id: str) -> Row[Any]:
    """The application's row. Raises `NotFound`."""
    found = await transaction.execute(
        select(apps).where(apps.c.app_id == app_id, apps.c.account_id == account_id)
    )
    row = found.first()
    if row is None:
        raise NotFound("no such application")
    return row
