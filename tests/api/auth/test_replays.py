"""A signed request that comes again has its effect once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tests.api.auth.signing import SdkSigner, Wire
from tests.api.auth.world import Clock, World, a_world
from worker.api.auth import replays
from worker.api.auth.refusals import TooManyRequests
from worker.api.auth.replays import Replays
from worker.api.auth.tokens import Tokens
from worker.errors import RecordsDown

Create = Callable[..., Wire]


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with a_world(tmp_path, clock) as world:
        yield world


@pytest.fixture
def create(world: World, signer: SdkSigner, clock: Clock) -> Create:
    """alice asks for an app of that name."""

    def create(name: str, **kw: object) -> Wire:
        given = {
            "unix_ms": clock(),
            "host": world.host,
            "ak": world.alice.ak,
            "sk": world.alice.sk,
            **kw,
        }
        return signer("POST", "/v2/apps", body=f'{{"app_name": "{name}"}}'.encode(), **given)

    return create


async def test_the_first_answer_comes_again(world: World, create: Create) -> None:
    wire = create("a")
    first, second = [await world.send(wire) for _ in range(2)]

    assert world.made == {"alice/a": 1}
    assert (first.status, first.json["app_id"]) == (201, "a-1")
    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


async def test_an_answer_without_a_body_comes_again(
    world: World, signer: SdkSigner, clock: Clock
) -> None:
    wire = signer(
        "POST",
        "/v2/apps/A/rooms/r/dismiss",
        unix_ms=clock(),
        host=world.host,
        ak=world.alice.ak,
        sk=world.alice.sk,
    )
    first, second = [await world.send(wire) for _ in range(2)]

    assert world.made == {"r": 1}
    assert (first.status, first.body) == (second.status, second.body) == (202, b"")


async def test_another_spelling_of_the_target_is_the_same_request(
    world: World, signer: SdkSigner, clock: Clock
) -> None:
    wire = signer(
        "POST",
        "/v2/apps/A/rooms/a%20b/dismiss",
        unix_ms=clock(),
        host=world.host,
        ak=world.alice.ak,
        sk=world.alice.sk,
    )
    other = Wire("POST", wire.target.replace(b"%20b", b"%20%62"), wire.headers)

    assert [(await world.send(each)).status for each in (wire, other)] == [202, 202]
    assert world.made == {"a b": 1}


async def test_the_answer_is_kept_as_long_as_the_signature_is_good(
    world: World, create: Create, clock: Clock
) -> None:
    wire = create("a", unix_ms=clock() + 899_000)
    await world.send(wire)
    clock.advance(899 + 900)

    assert await world.records.forget_expired(clock()) == 0
    assert (await world.send(wire)).json["app_id"] == "a-1"
    clock.advance(1)
    assert (await world.send(wire)).status == 401


async def test_a_new_signature_is_a_new_request(world: World, create: Create, clock: Clock) -> None:
    first = await world.send(create("a"))
    clock.advance(1)
    second = await world.send(create("a"))
    third = await world.send(create("a", ak=world.bob.ak, sk=world.bob.sk))

    assert [each.json["app_id"] for each in (first, second, third)] == ["a-1", "a-2", "a-1"]


async def test_by_token_the_same_may_be_asked_twice(world: World, clock: Clock) -> None:
    token, _ = await Tokens(records=world.records, unix_ms=clock).issue(
        world.alice.account.account_id
    )
    headers = ((b"Host", world.host.encode()), (b"X-Auth-Token", token.encode()))
    wire = Wire("POST", b"/v2/apps", headers, b'{"app_name": "a"}')

    assert [(await world.send(wire)).json["app_id"] for _ in range(2)] == ["a-1", "a-2"]


async def test_a_refusal_comes_again_too(world: World, create: Create) -> None:
    for wire in (create("refused"), create('"')):
        first, second = [await world.send(wire) for _ in range(2)]
        assert first.status == 400
        assert (second.status, second.json) == (first.status, first.json)

    assert world.made == {"alice/refused": 1}


@pytest.mark.parametrize("name", ["down", "bug"])
async def test_what_failed_on_our_side_may_be_tried_again(
    world: World, create: Create, name: str
) -> None:
    wire = create(name)

    assert [(await world.send(wire)).status for _ in range(2)] == [500, 500]
    assert world.made == {f"alice/{name}": 2}


async def test_many_at_once_have_one_effect(world: World, create: Create) -> None:
    wire = create("slow")
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(world.send(wire)) for _ in range(30)]
        await world.begun.wait()
        world.go_on.set()

    assert {(each.result().status, each.result().json["app_id"]) for each in sent} == {
        (201, "slow-1")
    }
    assert world.made == {"alice/slow": 1}


async def test_who_waits_too_long_is_told_to_come_back(
    world: World, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "_PATIENCE_S", 0.2)
    wire = create("slow")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.send(wire))
        await world.begun.wait()
        second = await world.send(wire)
        world.go_on.set()

    assert (second.status, second.headers["retry-after"]) == (429, "1")
    assert first.result().status == 201
    assert (await world.send(wire)).json["app_id"] == "slow-1"


@pytest.fixture
def two(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[Replays, Replays]:
    """Of two control planes on the same records."""
    monkeypatch.setattr(replays, "_POLL_S", 0.01)
    return (
        Replays(records=world.records, unix_ms=clock),
        Replays(records=world.records, unix_ms=clock),
    )


@pytest.mark.parametrize("is_same", [True, False], ids=["one control plane", "two"])
@pytest.mark.parametrize("does_fail", [True, False], ids=["fails", "works"])
async def test_who_waits_gets_the_answer_of_the_first_or_takes_over_when_it_fails(
    two: tuple[Replays, Replays], is_same: bool, does_fail: bool
) -> None:
    here, there = two[0], two[0] if is_same else two[1]
    begun, go_on = asyncio.Event(), asyncio.Event()
    effects = []

    async def work(who: str) -> web.Response:
        effects.append(who)
        return web.Response(status=201)

    async def first_work() -> web.Response:
        begun.set()
        await go_on.wait()
        if does_fail:
            raise RecordsDown("gone")
        return await work("first")

    async with asyncio.TaskGroup() as group:
        first = group.create_task(_status(here.answer(b"d" * 32, first_work)))
        await begun.wait()
        second = group.create_task(_status(there.answer(b"d" * 32, lambda: work("second"))))
        await asyncio.sleep(0.05)
        assert not second.done()
        go_on.set()

    assert (first.result(), second.result()) == (500 if does_fail else 201, 201)
    assert effects == ["second" if does_fail else "first"]


async def test_a_first_request_may_take_its_time(
    two: tuple[Replays, Replays], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "_PATIENCE_S", 0.2)

    async def work() -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response(status=201)

    assert await _status(two[0].answer(b"d" * 32, work)) == 201


async def test_a_request_that_was_cancelled_is_not_tried_again(
    two: tuple[Replays, Replays], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "_PATIENCE_S", 0.2)

    async def work() -> web.Response:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await two[0].answer(b"d" * 32, work)
    with pytest.raises(TooManyRequests):
        await two[0].answer(b"d" * 32, work)


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    world: World, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise RecordsDown("gone")

    monkeypatch.setattr(replays, "_PATIENCE_S", 0.2)
    wire = create("a")
    with monkeypatch.context() as patch:
        patch.setattr(type(world.records), "keep_reply", down)
        assert (await world.send(wire)).status == 201

    assert (await world.send(wire)).status == 429
    assert world.made == {"alice/a": 1}


async def _status(answer: Awaitable[web.StreamResponse]) -> int:
    try:
        return (await answer).status
    except RecordsDown:
        return 500
