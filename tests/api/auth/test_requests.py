"""Who is let in by a real server with real records, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.api.auth.signing import SdkSigner, Wire, date_text
from tests.api.auth.world import ANY_RATE, Clock, Got, Tenant, World, a_world
from worker.api.auth.limits import Rate
from worker.api.auth.tokens import Tokens
from worker.api.operation import Group

PREFIX = "Incorrect IAM authentication information: "
NOT_SIGNED = PREFIX + "verify aksk signature fail"
LOCKED = PREFIX + "AK access failed to reach the limit,forbidden"

Sign = Callable[..., Wire]


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with a_world(tmp_path, clock) as world:
        yield world


@pytest.fixture
def sign(world: World, signer: SdkSigner, clock: Clock) -> Sign:
    """A GET of /v2/apps by alice unless something else is said."""
    return signing(world, signer, clock)


def signing(world: World, signer: SdkSigner, clock: Clock) -> Sign:
    def sign(method: str = "GET", path: str = "/v2/apps", **kw: object) -> Wire:
        given = {
            "unix_ms": clock(),
            "host": world.host,
            "ak": world.alice.ak,
            "sk": world.alice.sk,
            **kw,
        }
        return signer(method, path, **given)

    return sign


def error(got: Got) -> tuple[int, str, str]:
    return got.status, got.json["error_code"], got.json["error_msg"]


def plain(world: World, *headers: tuple[str, str]) -> Wire:
    pairs = [("Host", world.host), *headers]
    return Wire("GET", b"/v2/apps", tuple((k.encode(), v.encode()) for k, v in pairs))


async def token_of(world: World, clock: Clock, tenant: Tenant) -> str:
    text, _ = await Tokens(records=world.records, unix_ms=clock).issue(tenant.account.account_id)
    return text


# -- signatures ------------------------------------------------------------------------------


async def test_each_key_lets_in_its_own_account(world: World, sign: Sign) -> None:
    for tenant in (world.alice, world.bob):
        got = await world.send(sign(ak=tenant.ak, sk=tenant.sk))
        assert (got.status, got.json) == (200, {"account_id": tenant.account.account_id})


async def test_a_signed_body_in_any_language_arrives(world: World, sign: Sign) -> None:
    got = await world.send(sign("POST", body='{"app_name": "日本 1"}'.encode()))

    assert (got.status, got.json["app_id"]) == (201, "日本 1-1")


async def test_an_encoded_slash_is_verified_and_routed_as_sent(world: World, sign: Sign) -> None:
    got = await world.send(sign("POST", "/v2/apps/A/rooms/a%2Fb%20%E6%97%A5/dismiss"))

    assert got.status == 202
    assert world.made == {"a/b 日": 1}


async def test_no_credentials_are_refused_in_the_gateways_form(world: World) -> None:
    got = await world.send(plain(world))

    assert error(got) == (401, "APIGW.0301", PREFIX + "x-auth-token not found")
    assert got.json["request_id"] == got.headers["x-request-id"]


SPOILED: dict[str, Callable[[Wire], Wire]] = {
    "unknown key": lambda wire: changed(wire, b"AKALICE", b"AKNOBODY"),
    "another's key": lambda wire: changed(wire, b"AKALICE", b"AKBOB"),
    "wrong signature": lambda wire: changed(wire, b"Signature=", b"Signature=0", cut=1),
    "other target": lambda wire: Wire(wire.method, b"/v2/apps?limit=1", wire.headers, wire.body),
    "other method": lambda wire: Wire("POST", wire.target, wire.headers, wire.body),
    "other body": lambda wire: Wire(wire.method, wire.target, wire.headers, b"{}"),
    "other type": lambda wire: wire.with_header("Content-Type", b"text/plain"),
    "unknown scheme": lambda wire: wire.with_header("Authorization", b"Bearer abc"),
    "two signatures": lambda wire: wire.plus("Authorization", wire.header("Authorization")),
    "host not signed": lambda wire: changed(wire, b"host;", b""),
    "date not signed": lambda wire: changed(wire, b";x-sdk-date", b""),
    "no date": lambda wire: wire.with_header("X-Sdk-Date", None),
    "31 February": lambda wire: wire.with_header("X-Sdk-Date", b"20260231T030405Z"),
    "other form of date": lambda wire: wire.with_header("X-Sdk-Date", b"2026-01-02T03:04:05Z"),
    "two dates": lambda wire: wire.plus("X-Sdk-Date", b"20260102T030406Z"),
    "temporary key": lambda wire: wire.plus("X-Security-Token", b"abc"),
    "bytes in the signature": lambda wire: changed(wire, b"Signature=", b"Signature=\xff", cut=1),
}


def changed(wire: Wire, old: bytes, new: bytes, cut: int = 0) -> Wire:
    value = wire.header("Authorization")
    assert old in value
    return wire.with_header("Authorization", value.replace(old, new)[: len(value) if cut else None])


async def test_what_is_not_signed_right_is_refused_with_one_text(world: World, sign: Sign) -> None:
    good, answers = sign(), {}
    for name, spoil in SPOILED.items():
        answers[name] = error(await world.send(spoil(good)))
        # Which also takes the failure back.
        assert (await world.send(good)).status == 200

    assert answers == dict.fromkeys(SPOILED, (401, "APIGW.0301", NOT_SIGNED))


async def test_a_date_may_be_fifteen_minutes_off(world: World, sign: Sign, clock: Clock) -> None:
    wires = {seconds: sign(unix_ms=clock() + seconds * 1000) for seconds in (-901, -899, 899, 901)}
    statuses = {seconds: (await world.send(wire)).status for seconds, wire in wires.items()}

    assert statuses == {-901: 401, -899: 200, 899: 200, 901: 401}


async def test_who_signed_too_long_ago_is_told_both_times(
    world: World, sign: Sign, clock: Clock
) -> None:
    wire = sign()
    clock.advance(901)

    assert error(await world.send(wire))[2] == (
        PREFIX + "calc ak sk signature fail:signature expired, "
        f"signature time:20260102T030405Z,server time:{date_text(clock())}"
    )


async def test_the_order_of_signed_headers_in_the_request_does_not_matter(
    world: World, sign: Sign
) -> None:
    wire = sign()

    got = await world.send(Wire("GET", wire.target, tuple(reversed(wire.headers))))
    assert got.status == 200


async def test_a_key_that_was_dropped_lets_nobody_in(world: World, sign: Sign) -> None:
    await world.records.remove_key(world.alice.ak)

    assert error(await world.send(sign())) == (401, "APIGW.0301", NOT_SIGNED)


# -- projects --------------------------------------------------------------------------------


async def test_a_project_must_be_the_accounts(world: World, sign: Sign, clock: Clock) -> None:
    own, other = world.alice.account.account_id, world.bob.account.account_id
    token = await token_of(world, clock, world.alice)

    for project, status in ((own, 200), (other, 401), ("", 401)):
        signed = sign(headers={"X-Project-Id": project})
        by_token = plain(world, ("X-Auth-Token", token), ("X-Project-Id", project))
        assert (await world.send(signed)).status == status
        assert (await world.send(by_token)).status == status


# -- tokens ----------------------------------------------------------------------------------


async def test_a_token_lets_in_its_account(world: World, clock: Clock) -> None:
    token = await token_of(world, clock, world.bob)
    got = await world.send(plain(world, ("X-Auth-Token", token)))

    assert (got.status, got.json) == (200, {"account_id": world.bob.account.account_id})


async def test_anything_else_than_a_token_is_refused(world: World, clock: Clock) -> None:
    token = await token_of(world, clock, world.alice)
    others = [
        token[:-1],
        token + "A",
        token.swapcase(),
        "",
        "日本",
        token * 100,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhYWFhIn0.",
        "A" * 43,
    ]
    for other in others:
        got = await world.send(plain(world, ("X-Auth-Token", other)))
        assert error(got) == (401, "APIGW.0301", PREFIX + "decrypt token fail")


async def test_a_token_of_a_hundred_kilobytes_is_refused(world: World) -> None:
    got = await world.send(plain(world, ("X-Auth-Token", "A" * 100_000)))

    # Nothing reads a header of that size; the table of bad inputs has both answers.
    assert got.status in (401, 431)


async def test_two_tokens_are_refused(world: World, clock: Clock) -> None:
    token = await token_of(world, clock, world.alice)

    got = await world.send(plain(world, ("X-Auth-Token", token), ("X-Auth-Token", token)))
    assert got.status == 401


async def test_a_token_ends_after_a_day(world: World, clock: Clock) -> None:
    token = await token_of(world, clock, world.alice)
    clock.advance(24 * 3600 - 1)
    assert (await world.send(plain(world, ("X-Auth-Token", token)))).status == 200

    clock.advance(1)
    assert error(await world.send(plain(world, ("X-Auth-Token", token)))) == (
        401,
        "APIGW.0301",
        PREFIX + "token expires, expires_at: 2026-01-03T03:04:05Z",
    )


async def test_a_new_password_and_a_removed_account_end_tokens_at_once(
    world: World, clock: Clock
) -> None:
    alices, bobs = [await token_of(world, clock, each) for each in (world.alice, world.bob)]
    await world.records.set_password(world.alice.account.account_id, None)
    await world.records.remove_account(world.bob.account.account_id)

    for token in (alices, bobs):
        assert (await world.send(plain(world, ("X-Auth-Token", token)))).status == 401


async def test_of_a_signature_and_a_token_the_signature_counts(
    world: World, sign: Sign, clock: Clock
) -> None:
    token = await token_of(world, clock, world.bob)
    good = sign(headers={"X-Auth-Token": token})
    got = await world.send(good)
    assert (got.status, got.json) == (200, {"account_id": world.alice.account.account_id})

    wrong = sign(headers={"X-Auth-Token": token}, sk="wrong")
    assert error(await world.send(wrong)) == (401, "APIGW.0301", NOT_SIGNED)
    bad_token = sign(headers={"X-Auth-Token": "nonsense"})
    assert (await world.send(bad_token)).status == 200


# -- what needs no account -------------------------------------------------------------------


async def test_public_operations_and_unknown_addresses_ask_for_nothing(world: World) -> None:
    for target, status in ((b"/ping", 200), (b"/v2/nothing", 404)):
        wire = Wire("GET", target, ((b"Host", world.host.encode()),))
        assert (await world.send(wire)).status == status
    wire = Wire("DELETE", b"/v2/apps", ((b"Host", world.host.encode()),))
    assert (await world.send(wire)).status == 405


# -- failures in a row -----------------------------------------------------------------------


async def test_more_than_five_failures_lock_a_key_for_five_minutes(
    world: World, sign: Sign, clock: Clock
) -> None:
    for _ in range(6):
        assert error(await world.send(sign(sk="wrong"))) == (401, "APIGW.0301", NOT_SIGNED)
    assert error(await world.send(sign())) == (401, "APIGW.0301", LOCKED)
    assert (await world.send(sign(ak=world.bob.ak, sk=world.bob.sk))).status == 200

    clock.advance(301)
    assert (await world.send(sign())).status == 200


async def test_only_failures_in_a_row_count(world: World, sign: Sign) -> None:
    for _ in range(2):
        statuses = [(await world.send(sign(sk="wrong"))).status for _ in range(5)]
        assert statuses == [401] * 5
        assert (await world.send(sign())).status == 200


async def test_a_key_that_does_not_exist_is_locked_as_one_that_does(
    world: World, sign: Sign
) -> None:
    answers = [error(await world.send(sign(ak="AKNOBODY"))) for _ in range(7)]

    assert answers == [(401, "APIGW.0301", NOT_SIGNED)] * 6 + [(401, "APIGW.0301", LOCKED)]


async def test_old_signatures_lock_nobody(world: World, sign: Sign, clock: Clock) -> None:
    for _ in range(10):
        await world.send(sign(unix_ms=clock() - 3_600_000))

    assert (await world.send(sign())).status == 200


async def test_a_stranger_behind_the_same_proxy_locks_out_nobody_else(
    tmp_path: Path, clock: Clock, signer: SdkSigner
) -> None:
    async with a_world(tmp_path, clock, proxies=[ip_network("127.0.0.0/8")]) as world:
        sign = signing(world, signer, clock)

        def via(wire: Wire, address: str) -> Wire:
            return wire.plus("X-Forwarded-For", address.encode())

        for _ in range(7):
            got = await world.send(via(sign(sk="wrong"), "203.0.113.66"))
        assert error(got) == (401, "APIGW.0301", LOCKED)
        assert (await world.send(via(sign(), "203.0.113.66"))).status == 401
        assert (await world.send(via(sign(), "198.51.100.1"))).status == 200
        ping = Wire("GET", b"/ping", ((b"Host", world.host.encode()),))
        assert (await world.send(via(ping, "198.51.100.1"))).json == {"remote": "198.51.100.1"}


async def test_what_is_logged_outside_names_the_account_behind_a_proxy(
    tmp_path: Path, clock: Clock, signer: SdkSigner, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path, clock, proxies=[ip_network("127.0.0.0/8")]) as world:
        wire = signing(world, signer, clock)().plus("X-Forwarded-For", b"198.51.100.1")
        with caplog.at_level("INFO", logger="worker.api.server"):
            await world.send(wire)

    [call] = [record for record in caplog.records if record.message == "call"]
    assert vars(call)["account"] == world.alice.account.account_id


# -- limits ----------------------------------------------------------------------------------


async def test_an_account_that_asks_too_often_is_told_when_to_come_back(
    tmp_path: Path, clock: Clock, signer: SdkSigner
) -> None:
    rates = {**ANY_RATE, Group.SETUP: Rate(3, 60)}
    async with a_world(tmp_path, clock, rates=rates) as world:
        sign = signing(world, signer, clock)
        statuses = [(await world.send(sign())).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]

        refused = await world.send(sign("POST", body=b'{"app_name": "a"}'))
        assert refused.json["error_code"] == "APIGW.0308"
        assert refused.headers["retry-after"] == "20"
        assert (await world.send(sign(ak=world.bob.ak, sk=world.bob.sk))).status == 200
        assert (await world.send(sign("POST", "/v2/apps/A/rooms/r/dismiss"))).status == 202
        clock.advance(20)
        # What was refused for coming too often was not claimed: it may come again.
        assert (await world.send(sign("POST", body=b'{"app_name": "a"}'))).status == 201


async def test_a_stranger_who_fails_too_often_is_not_even_looked_at(
    tmp_path: Path, clock: Clock, signer: SdkSigner
) -> None:
    async with a_world(tmp_path, clock, strangers=Rate(4, 60)) as world:
        sign = signing(world, signer, clock)
        wires = [plain(world), sign(ak="AK1"), plain(world, ("X-Auth-Token", "x")), sign(ak="AK2")]
        assert [(await world.send(wire)).status for wire in wires] == [401] * 4

        got = await world.send(plain(world))
        assert (got.status, got.json["error_code"]) == (429, "APIGW.0308")
        assert got.headers["retry-after"] == "15"
        assert (await world.send(sign())).status == 429
        clock.advance(15)
        assert (await world.send(sign())).status == 200


async def test_who_is_let_in_is_never_counted_as_a_stranger(
    tmp_path: Path, clock: Clock, signer: SdkSigner
) -> None:
    async with a_world(tmp_path, clock, strangers=Rate(1, 60)) as world:
        wire = signing(world, signer, clock)()
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(world.send(wire)) for _ in range(20)]

    assert {each.result().status for each in sent} == {200}
