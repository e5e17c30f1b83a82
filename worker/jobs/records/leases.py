"""Who of several control planes does what only one may do."""

from sqlalchemy import or_, update

from worker.jobs.records.database import insert_new
from worker.jobs.records.schema import leases
from worker.jobs.records.theme import Theme


class Leases(Theme):
    """As in `ports.Records`."""

    async def take_lease(
        self, name: str, holder: str, *, now_unix_ms: int, until_unix_ms: int
    ) -> bool:
        async with self._database.write() as transaction:
            row = {"name": name, "holder": holder, "until_unix_ms": until_unix_ms}
            if await insert_new(transaction, leases, row):
                return True
            taken = await transaction.execute(
                update(leases)
                .where(
                    leases.c.name == name,
                    or_(leases.c.holder == holder, leases.c.until_unix_ms <= now_unix_ms),
                )
                .values(holder=holder, until_unix_ms=until_unix_ms)
            )
            return taken.rowcount == 1
