"""Requests that are sent twice, and what expires."""

import asyncio

from tests.jobs.records.samples import ACME
from worker.jobs.ports import Records
from worker.jobs.values import Reply, Token


async def test_of_many_equal_requests_one_is_the_first(planes: tuple[Records, Records]) -> None:
    claims = (planes[number % 2].claim_request(b"digest", 900) for number in range(50))
    assert sum(await asyncio.gather(*claims)) == 1


async def test_a_reply_is_kept_for_whoever_asks_again(records: Records) -> None:
    assert await records.kept_reply(b"digest") is None
    assert await records.claim_request(b"digest", 900)
    assert await records.kept_reply(b"digest") is None

    await records.keep_reply(b"digest", Reply(status=201, body=b'{"job_id": "1"}'))

    assert await records.kept_reply(b"digest") == Reply(status=201, body=b'{"job_id": "1"}')
    assert not await records.claim_request(b"digest", 900)


async def test_a_released_request_may_be_claimed_again(records: Records) -> None:
    await records.claim_request(b"digest", 900)
    await records.release_request(b"digest")
    await records.release_request(b"digest")
    assert await records.claim_request(b"digest", 900)


async def test_a_reply_to_what_nobody_claimed_is_not_kept(records: Records) -> None:
    await records.keep_reply(b"digest", Reply(status=201, body=b""))
    assert await records.kept_reply(b"digest") is None


async def test_what_expired_is_forgotten_and_nothing_else(records: Records) -> None:
    for digest, expires_unix_ms in ((b"early", 100), (b"late", 101)):
        await records.claim_request(digest, expires_unix_ms)
        await records.keep_reply(digest, Reply(status=200, body=digest))
        await records.add_token(Token(digest, ACME, 1, expires_unix_ms))

    assert await records.forget_expired(100) == 2

    assert await records.token(b"early") is None
    assert await records.kept_reply(b"early") is None
    assert await records.token(b"late") is not None
    assert await records.kept_reply(b"late") is not None
    assert await records.forget_expired(100) == 0
