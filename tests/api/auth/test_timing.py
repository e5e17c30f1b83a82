"""How long a refusal takes tells nobody which keys and names exist.

Pairs are measured in turn and compared by their medians, so that a busy machine disturbs both
alike. Bodies and costs are so large that leaving out the work would show by far.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tests.api.auth.signing import SdkSigner
from tests.api.auth.world import PASSWORD, Clock, add_tenant
from worker.api.auth.authenticator import Authenticator
from worker.api.auth.lockout import Lockout
from worker.api.auth.passwords import Passwords
from worker.api.auth.refusals import Unauthenticated
from worker.api.auth.tokens import Tokens
from worker.api.requests import MAX_BODY_BYTES
from worker.jobs.records import Seal, open_records

_ROUNDS = 25
_MOST_RATIO = 2.0
"""Without the work it is above 4 for signatures and above 100 for passwords."""


async def medians_s(*attempts: Callable[[int], Awaitable[float]]) -> list[float]:
    """What the attempts take, one after the other, in as many rounds."""
    taken_s: list[list[float]] = [[] for _ in attempts]
    for number in range(_ROUNDS):
        for each, attempt in zip(taken_s, attempts, strict=True):
            each.append(await attempt(number))
    return [statistics.median(each) for each in taken_s]


def ratio(medians: list[float]) -> float:
    return max(medians) / min(medians)


async def test_an_unknown_key_takes_as_long_as_a_wrong_signature(
    tmp_path: Path, clock: Clock, signer: SdkSigner
) -> None:
    body = b"x" * MAX_BODY_BYTES
    seal = Seal([b"k" * 32])
    async with open_records(f"sqlite:///{tmp_path}/records.db", seal=seal) as records:
        alice = await add_tenant(records, Passwords(time_cost=1, memory_kib=1024), "alice")
        authenticator = Authenticator(
            records=records,
            tokens=Tokens(records=records, unix_ms=clock),
            lockout=Lockout(),
            unix_ms=clock,
        )

        def requests_of(ak: str) -> list[web.Request]:
            wire = signer("POST", "/v2/apps", body=body, unix_ms=clock(), ak=ak, sk="wrong")
            headers = CIMultiDict((k.decode(), v.decode()) for k, v in wire.headers)
            # Each from another address, which has no failures yet.
            return [_received(headers, f"203.0.113.{number}", body) for number in range(_ROUNDS)]

        async def attempt(request: web.Request) -> float:
            before_s = asyncio.get_running_loop().time()
            with pytest.raises(Unauthenticated, match="verify aksk signature fail"):
                await authenticator.caller(request)
            return asyncio.get_running_loop().time() - before_s

        alices, nobodys = requests_of(alice.ak), requests_of("AKNOONE")
        medians = await medians_s(
            lambda number: attempt(alices[number]), lambda number: attempt(nobodys[number])
        )

    assert ratio(medians) < _MOST_RATIO


def _received(headers: CIMultiDict[str], remote: str, body: bytes) -> web.Request:
    """A request whose body was read: its way here takes longer than all of our work."""
    request = make_mocked_request("POST", "/v2/apps", headers).clone(remote=remote)
    request._read_bytes = body
    return request


async def test_an_unknown_name_takes_as_long_as_a_wrong_password() -> None:
    passwords = Passwords(time_cost=1, memory_kib=8 * 1024)
    someones = await passwords.hash(PASSWORD)
    loop = asyncio.get_running_loop()

    async def attempt(password_hash: str | None) -> float:
        before_s = loop.time()
        assert not await passwords.matches(password_hash, "wrong")
        return loop.time() - before_s

    medians = await medians_s(lambda _: attempt(someones), lambda _: attempt(None))

    assert ratio(medians) < _MOST_RATIO
