"""What only a server can suffer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from tests.jobs.records.samples import ACME, SEAL, a_job, a_message
from tests.support.postgres import PASSWORD, PostgresServer
from worker.errors import RecordsDown
from worker.jobs.records import open_records

PATIENCE_S = 1.0
T = TypeVar("T")


async def in_the_end(call: Callable[[], Awaitable[T]]) -> T:
    """What the call says on a machine that may stand still for longer than `PATIENCE_S`.

    The server also closes a connection whose client says nothing for so long in a transaction.
    """
    for _ in range(19):
        try:
            return await call()
        except RecordsDown:
            await asyncio.sleep(0.1)
    return await call()


@pytest.fixture
def name(postgres: PostgresServer, filled_database: str) -> Iterator[str]:
    postgres.sql(f"CREATE DATABASE suffering TEMPLATE {filled_database}")
    yield "suffering"
    postgres.sql("DROP DATABASE suffering WITH (FORCE)")


async def test_a_password_opens_the_port_and_appears_nowhere(
    postgres: PostgresServer, name: str
) -> None:
    good = postgres.url_with_password(name)
    async with open_records(f"{good}?sslmode=prefer", seal=SEAL) as records:
        assert await records.account(ACME) is not None

    for bad in (
        good.replace(PASSWORD, "secret-and-wrong"),
        f"postgresql://postgres:secret@127.0.0.1:1/{name}",
        f"{good}?sslmode=require",
    ):
        with pytest.raises(RecordsDown) as caught:
            async with open_records(bad, seal=SEAL):
                pass
        told = f"{caught.value!r} {caught.value.__cause__!r}"
        assert "secret" not in told
        assert PASSWORD not in told


async def test_a_server_that_hangs_is_down_in_time_and_usable_afterwards(
    postgres: PostgresServer, name: str
) -> None:
    async with open_records(postgres.url(name), seal=SEAL, patience_s=PATIENCE_S) as records:
        await records.account(ACME)
        postgres.freeze()
        try:
            began = time.monotonic()
            calls = [records.account(ACME), records.set_password(ACME, "new")]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - began < 10 * PATIENCE_S
        finally:
            postgres.thaw()
        assert [type(outcome) for outcome in outcomes] == [RecordsDown] * 2
        await in_the_end(lambda: records.set_password(ACME, "newer"))
        account = await in_the_end(lambda: records.account(ACME))
        assert account is not None
        assert account.password_hash == "newer"


async def test_no_call_fails_because_connections_were_cut_before(
    postgres: PostgresServer, name: str
) -> None:
    async with open_records(postgres.url(name), seal=SEAL) as records:
        await asyncio.gather(*(records.account(ACME) for _ in range(8)))
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'suffering'"
        )
        await asyncio.gather(*(records.account(ACME) for _ in range(8)))
        await records.set_password(ACME, "new")


async def test_a_lock_that_is_not_given_back_is_told_in_time(
    postgres: PostgresServer, name: str
) -> None:
    async with (
        open_records(postgres.url(name), seal=SEAL) as other,
        open_records(postgres.url(name), seal=SEAL, patience_s=PATIENCE_S) as records,
    ):
        async with other._database.write() as transaction:  # type: ignore[attr-defined]
            await transaction.exec_driver_sql("LOCK TABLE accounts IN ROW EXCLUSIVE MODE")
            await transaction.exec_driver_sql("SELECT * FROM accounts FOR UPDATE")
            began = time.monotonic()
            with pytest.raises(RecordsDown):
                await records.add_job(a_job(), rule_id=None, quota=1)
            assert time.monotonic() - began < 10 * PATIENCE_S
            # Who reads does not wait.
            assert await in_the_end(lambda: records.account(ACME)) is not None
        await in_the_end(lambda: records.add_job(a_job(), rule_id=None, quota=1))


async def test_a_message_waits_for_one_that_is_being_added_to_its_line(
    postgres: PostgresServer, name: str
) -> None:
    """Or it could be seen, and sent, before the other one, whose number is smaller."""
    async with open_records(postgres.url(name), seal=SEAL) as records:
        await records.add_job(a_job(), rule_id=None, quota=1)
        async with records._database.write() as transaction:  # type: ignore[attr-defined]
            await transaction.exec_driver_sql("SELECT * FROM jobs FOR NO KEY UPDATE")
            adding = asyncio.create_task(records.add_message(a_message()))
            _, waiting = await asyncio.wait({adding}, timeout=0.3)
            assert waiting
        assert await adding


async def test_it_gets_along_with_a_stricter_default(postgres: PostgresServer, name: str) -> None:
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    async with open_records(postgres.url(name), seal=SEAL) as records:
        await records.add_job(a_job(), rule_id=None, quota=1)
        changes = (records.change_job(a_job().job_id, lambda job: job) for _ in range(20))
        changed = await asyncio.gather(*changes)
    assert sorted(job.revision for job in changed) == list(range(1, 21))
