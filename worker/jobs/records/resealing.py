"""Sealing anew, with the newest key, what an older one has sealed."""

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.jobs.records.schema import metadata
from worker.jobs.records.seal import MARK_BYTES, Seal


async def reseal(transaction: AsyncConnection, seal: Seal) -> None:
    """Afterwards the first key of *seal* opens everything.

    Raises `RecordsDown` when something is sealed with a key that *seal* does not have.
    """
    for table in metadata.sorted_tables:
        for column in table.c:
            if not column.info.get("sealed"):
                continue
            (row_id,) = table.primary_key
            mark = func.substr(column, 1, MARK_BYTES)
            old = await transaction.execute(
                select(row_id, column).where(column.is_not(None), mark != seal.newest_mark)
            )
            for row, sealed in old:
                value = seal.encrypt(seal.decrypt(sealed, column, row), column, row)
                await transaction.execute(
                    update(table).where(row_id == row).values({column.name: value})
                )
