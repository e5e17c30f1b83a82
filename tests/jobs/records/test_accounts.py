"""Accounts, keys and tokens."""

import asyncio
from dataclasses import replace

import pytest

from tests.jobs.records.samples import ACME, ACME_APP, BOLT, PLENTY, a_job, an_account
from worker.core.lifecycle import State
from worker.errors import InUse, NameTaken, NotFound
from worker.jobs.ports import Records
from worker.jobs.values import AccessKey, Account, Token

NOBODY = "f" * 32
KEY = AccessKey(access_key="AK1", account_id=BOLT, secret="sk", created_unix_ms=7)
TOKEN = Token(digest=b"digest", account_id=BOLT, issued_unix_ms=1, expires_unix_ms=50)


async def test_an_account_is_found_by_id_and_by_name(records: Records) -> None:
    cove = Account(account_id="c" * 32, name="cove", created_unix_ms=9, password_hash="argon")
    await records.add_account(cove)

    assert await records.account("c" * 32) == cove
    assert await records.account_named("cove") == cove
    assert [account.name for account in await records.accounts()] == ["acme", "bolt", "cove"]
    assert await records.account(NOBODY) is None
    assert await records.account_named("Cove") is None


async def test_one_of_many_gets_an_accounts_name(planes: tuple[Records, Records]) -> None:
    async def add(number: int) -> bool:
        try:
            await planes[number % 2].add_account(an_account(f"{number:032d}", "wanted"))
        except NameTaken:
            return False
        return True

    assert sum(await asyncio.gather(*(add(number) for number in range(20)))) == 1


async def test_a_new_password_revokes_the_accounts_tokens_only(records: Records) -> None:
    other = Token(digest=b"other", account_id=ACME, issued_unix_ms=1, expires_unix_ms=50)
    await records.add_token(TOKEN)
    await records.add_token(other)
    assert await records.token(b"digest") == TOKEN

    await records.set_password(BOLT, "new hash")

    account = await records.account(BOLT)
    assert account is not None
    assert account.password_hash == "new hash"
    assert await records.token(b"digest") is None
    assert await records.token(b"other") == other
    with pytest.raises(NotFound):
        await records.set_password(NOBODY, None)


async def test_a_revoked_token_is_gone_and_revoking_again_does_no_harm(records: Records) -> None:
    await records.add_token(TOKEN)
    await records.revoke_token(b"digest")
    await records.revoke_token(b"digest")
    assert await records.token(b"digest") is None


async def test_keys_belong_to_accounts(records: Records) -> None:
    await records.add_key(KEY)

    assert await records.key("AK1") == KEY
    assert await records.keys(BOLT) == (KEY,)
    assert await records.keys(ACME) == ()
    with pytest.raises(NameTaken):
        await records.add_key(KEY)
    with pytest.raises(NotFound):
        await records.add_key(AccessKey("AK2", NOBODY, "sk", 7))

    await records.remove_key("AK1")
    assert await records.key("AK1") is None
    with pytest.raises(NotFound):
        await records.remove_key("AK1")


async def test_an_account_goes_with_keys_and_tokens_once_its_applications_are_gone(
    records: Records,
) -> None:
    await records.add_key(AccessKey("AK1", ACME, "sk", 7))
    await records.add_token(Token(b"digest", ACME, 1, 50))
    await records.set_bucket_grant(ACME, "bucket", is_granted=True)
    with pytest.raises(InUse):
        await records.remove_account(ACME)

    await records.remove_app(ACME, ACME_APP)
    await records.remove_account(ACME)

    assert await records.account(ACME) is None
    assert await records.key("AK1") is None
    assert await records.token(b"digest") is None
    assert await records.granted_buckets(ACME) == frozenset()
    with pytest.raises(NotFound):
        await records.remove_account(ACME)


async def test_an_account_stays_while_a_worker_delivers_for_it(records: Records) -> None:
    job = a_job()
    await records.add_job(job, rule_id=None, quota=PLENTY)
    await records.change_job(job.job_id, lambda old: replace(old, state=State.STOPPED))
    await records.remove_app(ACME, ACME_APP)
    with pytest.raises(InUse):
        await records.remove_account(ACME)

    await records.change_job(job.job_id, lambda old: replace(old, is_over=True))
    await records.remove_account(ACME)
    assert await records.any_job(job.job_id) is None


async def test_buckets_are_granted_and_taken_back(records: Records) -> None:
    for _ in range(2):
        await records.set_bucket_grant(ACME, "one", is_granted=True)
    await records.set_bucket_grant(ACME, "two", is_granted=True)
    await records.set_bucket_grant(BOLT, "three", is_granted=True)
    await records.set_bucket_grant(ACME, "two", is_granted=False)
    await records.set_bucket_grant(ACME, "never", is_granted=False)

    assert await records.granted_buckets(ACME) == {"one"}
    with pytest.raises(NotFound):
        await records.set_bucket_grant(NOBODY, "one", is_granted=True)
