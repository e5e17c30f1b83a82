"""Tokens and projects, as plain HTTP clients and the official SDK ask for them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.api.auth.signing import SdkSigner, Wire
from tests.api.auth.world import PASSWORD, Clock, Got, Rate, World, a_world

WRONG = {
    "error": {
        "code": 401,
        "message": "The username or password is wrong.",
        "title": "Unauthorized",
    }
}


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with a_world(tmp_path, clock) as world:
        yield world


def login_body(
    name: str = "alice", password: str = PASSWORD, scope: Any = None, **user: Any
) -> dict[str, Any]:
    auth: dict[str, Any] = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": name, "password": password, **user}},
        }
    }
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


async def post_tokens(world: World, body: Any, query: bytes = b"") -> Got:
    headers = (
        (b"Host", world.host.encode()),
        (b"Content-Type", b"application/json;charset=utf-8"),
    )
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await world.send(Wire("POST", b"/v3/auth/tokens" + query, headers, data))


async def ask(world: World, method: str, target: bytes, **headers: str) -> Got:
    pairs = {"Host": world.host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await world.send(
        Wire(method, target, tuple((k.encode(), v.encode()) for k, v in pairs.items()))
    )


async def test_a_password_gives_a_token_for_a_day(world: World) -> None:
    domain = {"name": "alice"}
    got = await post_tokens(world, login_body(scope={"domain": domain}, domain=domain))

    assert got.status == 201
    own = {"id": "a" * 32, "name": "alice"}
    assert got.json == {
        "token": {
            "methods": ["password"],
            "issued_at": "2026-01-02T03:04:05.000000Z",
            "expires_at": "2026-01-03T03:04:05.000000Z",
            "user": {**own, "domain": own, "password_expires_at": ""},
            "domain": own,
            "roles": [],
            "catalog": [],
        }
    }
    token = got.headers["x-subject-token"]
    shown = await ask(world, "GET", b"/v2/apps", X_Auth_Token=token)
    assert shown.json == {"account_id": "a" * 32}


async def test_the_catalog_is_left_out_when_it_is_not_wanted(world: World) -> None:
    got = await post_tokens(world, login_body(), b"?nocatalog=true")
    assert "catalog" not in got.json["token"]

    assert "catalog" in (await post_tokens(world, login_body(), b"?nocatalog=")).json["token"]


async def test_a_project_is_named_by_any_region_or_by_the_accounts_id(world: World) -> None:
    own = {"id": "a" * 32, "name": "alice"}
    for project, name in (({"name": "cn-north-4"}, "cn-north-4"), ({"id": "a" * 32}, "alice")):
        got = await post_tokens(world, login_body(scope={"project": project}))
        token = got.json["token"]
        assert token["project"] == {"id": "a" * 32, "name": name, "domain": own}
        assert "domain" not in token


async def test_wrong_names_passwords_domains_and_projects_are_one_answer(world: World) -> None:
    bodies = [
        login_body(password="wrong"),
        login_body(name="nobody"),
        login_body(domain={"name": "bob"}),
        login_body(domain={"id": "b" * 32}),
        login_body(scope={"domain": {"name": "bob"}}),
        login_body(scope={"project": {"id": "b" * 32}}),
    ]
    for body in bodies:
        got = await post_tokens(world, body)
        assert (got.status, got.json) == (401, WRONG)
        assert "x-subject-token" not in got.headers


async def test_malformed_logins_are_refused_and_repeat_no_password(world: World) -> None:
    secret = "hunter2-hunter2"
    good = login_body(password=secret)
    identity = good["auth"]["identity"]
    bodies: list[Any] = [
        b"",
        b"{",
        b"[]",
        b'{"auth": {} // comment\n}',
        {},
        {"auth": None},
        {"auth": {"identity": {**identity, "methods": ["token"]}}},
        {"auth": {"identity": {**identity, "methods": []}}},
        {"auth": {"identity": {**identity, "methods": ["password", "password"]}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        login_body(password=secret, name="n" * 65),
        login_body(password=secret * 100),
        login_body(password=[secret]),
        login_body(password=secret, domain="alice"),
        login_body(password=secret, domain={"name": 7}),
    ]
    for body in bodies:
        got = await post_tokens(world, body)
        assert got.status == 400
        assert secret.encode() not in got.body


async def test_a_revoked_token_lets_in_nobody_any_more(world: World) -> None:
    first, second = [
        (await post_tokens(world, login_body())).headers["x-subject-token"] for _ in range(2)
    ]
    got = await ask(world, "DELETE", b"/v3/auth/tokens", X_Auth_Token=second, X_Subject_Token=first)
    assert (got.status, got.body) == (204, b"")

    assert (await ask(world, "GET", b"/v2/apps", X_Auth_Token=first)).status == 401
    assert (await ask(world, "GET", b"/v2/apps", X_Auth_Token=second)).status == 200
    own = {"X_Auth_Token": second, "X_Subject_Token": second}
    assert (await ask(world, "DELETE", b"/v3/auth/tokens", **own)).status == 204
    assert (await ask(world, "GET", b"/v2/apps", X_Auth_Token=second)).status == 401


async def test_anothers_token_is_as_absent_as_one_that_never_was(world: World) -> None:
    alices, bobs = [
        (await post_tokens(world, login_body(name))).headers["x-subject-token"]
        for name in ("alice", "bob")
    ]
    answers = []
    for subject in (bobs, "A" * 43):
        got = await ask(
            world, "DELETE", b"/v3/auth/tokens", X_Auth_Token=alices, X_Subject_Token=subject
        )
        answers.append((got.status, got.body))

    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert (await ask(world, "GET", b"/v2/apps", X_Auth_Token=bobs)).status == 200
    missing = await ask(world, "DELETE", b"/v3/auth/tokens", X_Auth_Token=alices)
    assert missing.status == 400


async def test_a_project_of_any_name_is_the_accounts(
    world: World, signer: SdkSigner, clock: Clock
) -> None:
    for query, name in (([("name", "cn-north-4")], "cn-north-4"), ([], "bob")):
        got = await world.send(
            signer(
                "GET",
                "/v3/projects",
                query=query,
                unix_ms=clock(),
                host=world.host,
                ak=world.bob.ak,
                sk=world.bob.sk,
            )
        )
        assert (got.status, got.json) == (200, {"projects": [{"id": "b" * 32, "name": name}]})


async def test_the_form_of_its_refusals_is_described(world: World) -> None:
    document = (await ask(world, "GET", b"/openapi.json")).json
    refused = (await post_tokens(world, login_body(password="wrong"))).json

    described = document["paths"]["/v3/auth/tokens"]["post"]["responses"]
    form = described["401"]["content"]["application/json"]["schema"]
    jsonschema.validate(refused, {**form, "components": document["components"]})
    assert form["$ref"].endswith("/FailureAnswer")
    assert "429" in described


async def test_an_address_that_logs_in_too_often_waits(tmp_path: Path, clock: Clock) -> None:
    async with a_world(tmp_path, clock, strangers=Rate(2, 60)) as world:
        statuses = [(await post_tokens(world, login_body())).status for _ in range(2)]
        got = await post_tokens(world, login_body())

    assert statuses == [201, 201]
    assert (got.status, got.json["error_code"]) == (429, "APIGW.0308")
    assert got.headers["retry-after"] == "30"


async def test_no_token_or_password_is_on_record_as_it_is(world: World, tmp_path: Path) -> None:
    token = (await post_tokens(world, login_body())).headers["x-subject-token"]
    files = _content(tmp_path)

    assert world.alice.ak.encode() in files
    for secret in (token, PASSWORD, world.alice.sk):
        assert secret.encode() not in files


def _content(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())
