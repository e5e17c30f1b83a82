"""Names and passwords: who is let in, who has to wait, and that nobody learns which names exist."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.auth.world import NOW_UNIX_MS, PASSWORD, UNLIMITED, Clock, add_tenant
from worker.api.auth import passwords as passwords_module
from worker.api.auth.limits import Limits, Rate
from worker.api.auth.lockout import Lockout
from worker.api.auth.login import WRONG, Login
from worker.api.auth.passwords import Passwords
from worker.api.auth.refusals import TooManyRequests, Unauthenticated
from worker.jobs.records import Seal, open_records
from worker.jobs.values import Account

HOME, STRANGER = "198.51.100.1", "203.0.113.66"


@dataclass(frozen=True, slots=True)
class Door:
    login: Login

    async def refused(self, name: str, password: str, remote: str = HOME) -> str:
        with pytest.raises(Unauthenticated) as refusal:
            await self.login.account(name, password, remote)
        return refusal.value.reason


@pytest.fixture
async def door(tmp_path: Path, clock: Clock) -> AsyncIterator[Door]:
    async with a_door(tmp_path, clock, UNLIMITED) as door:
        yield door


@asynccontextmanager
async def a_door(directory: Path, clock: Clock, strangers: Rate) -> AsyncIterator[Door]:
    passwords = Passwords(time_cost=1, memory_kib=1024)
    seal = Seal([b"k" * 32])
    async with open_records(f"sqlite:///{directory}/records.db", seal=seal) as records:
        await add_tenant(records, passwords, "alice")
        await records.add_account(Account("c" * 32, "carol", NOW_UNIX_MS))
        login = Login(
            records=records,
            passwords=passwords,
            lockout=Lockout(),
            limits=Limits(unix_ms=clock, strangers=strangers),
            unix_ms=clock,
        )
        yield Door(login)


async def test_the_right_password_lets_in(door: Door) -> None:
    account = await door.login.account("alice", PASSWORD, HOME)

    assert account.name == "alice"


async def test_all_wrong_pairs_are_refused_with_one_text(door: Door) -> None:
    pairs = [
        ("alice", "wrong"),
        ("alice", PASSWORD + " "),
        ("alice", ""),
        ("Alice", PASSWORD),
        ("nobody", PASSWORD),
        ("", ""),
        ("carol", PASSWORD),  # has no password
        ("carol", ""),
    ]

    assert {await door.refused(*pair) for pair in pairs} == {WRONG}


async def test_more_than_five_wrong_passwords_lock_the_name_for_that_address(
    door: Door, clock: Clock
) -> None:
    for name in ("alice", "nobody"):
        reasons = [await door.refused(name, "wrong", STRANGER) for _ in range(7)]
        assert reasons[:6] == [WRONG] * 6
        assert reasons[6] != WRONG

    assert await door.refused("alice", PASSWORD, STRANGER) != WRONG
    assert await door.login.account("alice", PASSWORD, HOME)
    clock.advance(301)
    assert await door.login.account("alice", PASSWORD, STRANGER)


async def test_only_wrong_passwords_in_a_row_count(door: Door) -> None:
    for _ in range(2):
        assert {await door.refused("alice", "wrong") for _ in range(5)} == {WRONG}
        assert await door.login.account("alice", PASSWORD, HOME)


async def test_guesses_that_come_together_are_not_all_made(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords_module, "MOST_WAITING", 50)
    async with asyncio.TaskGroup() as group:
        guesses = [
            group.create_task(door.refused("alice", f"guess {number}")) for number in range(50)
        ]

    assert [guess.result() for guess in guesses].count(WRONG) == 6


async def test_logins_do_not_queue_up_without_end(door: Door) -> None:
    async def outcome() -> str:
        try:
            await door.login.account("alice", PASSWORD, HOME)
        except TooManyRequests as exc:
            assert exc.retry_after_s >= 1
            return "later"
        return "in"

    async with asyncio.TaskGroup() as group:
        logins = [group.create_task(outcome()) for _ in range(30)]

    outcomes = [each.result() for each in logins]
    assert (outcomes.count("in"), outcomes.count("later")) == (20, 10)
    assert await outcome() == "in"


async def test_an_address_may_log_in_so_often(tmp_path: Path, clock: Clock) -> None:
    async with a_door(tmp_path, clock, Rate(3, 60)) as door:
        for _ in range(3):
            await door.login.account("alice", PASSWORD, STRANGER)
        with pytest.raises(TooManyRequests):
            await door.login.account("alice", PASSWORD, STRANGER)

        assert await door.login.account("alice", PASSWORD, HOME)


async def test_hashing_does_not_hold_up_others() -> None:
    passwords = Passwords()
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0)
            beats += 1

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(beat())
        password_hash = await passwords.hash(PASSWORD)
        beating.cancel()

    assert password_hash.startswith("$argon2id$v=19$m=65536,t=2,p=1$")
    assert beats > 100


async def test_hashes_are_salted_and_fit_their_password_whatever_their_costs() -> None:
    passwords = Passwords(time_cost=1, memory_kib=1024)
    first, second = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)

    assert first != second
    dearer = Passwords(time_cost=2, memory_kib=2048)
    assert await dearer.matches(first, PASSWORD)
    assert not await dearer.matches(first, PASSWORD.upper())
    assert not await dearer.matches(None, PASSWORD)
