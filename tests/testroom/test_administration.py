"""Who puts people out of a room, who is put out, and what everybody is told, over real sockets."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from tests.testroom.test_server_places import break_off, join, read
from worker.errors import InvalidField
from worker.testroom.access import check_exposure, may_administer
from worker.testroom.server import room_application

Client = TestClient[Any, Any]
TOKEN = "a-token-of-some-length"
ADMIN = "the-token-of-an-administrator"
MICROPHONE = {"track": "mic", "kind": "audio", "source": "microphone", "muted": False}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(room_application())) as client:
        yield client


async def remove(client: Client, *user_ids: str, room: str = "demo") -> int:
    response = await client.post(f"/rooms/{room}/remove", json={"user_ids": user_ids})
    return response.status


async def recorder(client: Client) -> Any:
    ws = await client.ws_connect("/ws")
    await ws.send_json(
        {"type": "join", "room": "demo", "user_id": "rec", "name": "rec", "role": "subscriber"}
    )
    assert (await read(ws))["type"] == "welcome"
    assert (await read(ws))["type"] == "recorders"
    return ws


async def test_who_is_removed_is_told_why_and_the_others_see_them_leave(client: Client) -> None:
    ada, _ = await join(client, "ada")
    bob, was = await join(client, "bob")
    await read(ada)

    assert await remove(client, "bob", "nobody") == 204

    assert await read(bob) == {"type": "removed", "code": 9}
    end = await bob.receive(timeout=5)
    assert (end.type, bob.close_code) == (WSMsgType.CLOSE, WSCloseCode.POLICY_VIOLATION)
    assert await read(ada) == {"type": "left", "id": was["id"]}
    await join(client, "bob")
    assert (await read(ada))["participant"]["user_id"] == "bob"


async def test_everybody_is_put_out_of_a_dismissed_room_but_its_recorder(client: Client) -> None:
    ada, adas = await join(client, "ada")
    bob, bobs = await join(client, "bob")
    eve = await client.ws_connect("/ws")
    await eve.send_json(
        {"type": "join", "room": "other", "user_id": "eve", "name": "Eve", "role": "publisher"}
    )
    rec = await recorder(client)

    assert (await client.delete("/rooms/demo")).status == 204

    told = [await read(ada) for _ in range(3)] + [await read(bob) for _ in range(3)]
    assert told.count({"type": "removed", "code": 10}) == 2
    assert [await read(rec) for _ in range(2)] == [
        {"type": "left", "id": adas["id"]},
        {"type": "left", "id": bobs["id"]},
    ]
    await rec.send_json({"type": "ping"})
    assert await read(rec) == {"type": "pong"}
    rooms = (await (await client.get("/rooms")).json())["rooms"]
    assert {room["room"]: len(room["participants"]) for room in rooms} == {"demo": 0, "other": 1}


async def test_a_room_without_anybody_cannot_be_dismissed(client: Client) -> None:
    await recorder(client)
    assert (await client.delete("/rooms/demo")).status == 404
    assert (await client.delete("/rooms/nowhere")).status == 404
    assert await remove(client, "ada", room="nowhere") == 204


async def test_all_presences_of_a_user_are_removed_and_no_recorder(client: Client) -> None:
    first, _ = await join(client, "ada")
    second, _ = await join(client, "ada")
    rec = await recorder(client)

    assert await remove(client, "ada", "rec") == 204

    for ws in (first, second):
        told = [await read(ws)]
        while told[-1]["type"] != "removed":
            told.append(await read(ws))
    await rec.send_json({"type": "ping"})
    while (await read(rec))["type"] != "pong":
        pass


async def test_who_is_removed_while_away_cannot_slip_back_into_their_place(client: Client) -> None:
    ada, was = await join(client, "ada")
    bob, _ = await join(client, "bob")
    break_off(ada)

    assert await remove(client, "ada") == 204

    assert await read(bob) == {"type": "left", "id": was["id"]}
    again = await client.ws_connect("/ws")
    message = {"type": "join", "room": "demo", "user_id": "ada", "name": "ada", "role": "publisher"}
    await again.send_json(message | {"resume": was["resume"]})
    assert await read(again) == {
        "type": "refused",
        "reason": "resume: you were removed from the room",
    }
    _, welcome = await join(client, "ada")
    assert welcome["resumed"] is False


async def test_what_a_removed_one_still_says_reaches_nobody(client: Client) -> None:
    ada, adas = await join(client, "ada")
    bob, bobs = await join(client, "bob")
    await read(ada)

    await bob.send_json({"type": "tracks", "tracks": [MICROPHONE]})
    assert (await read(ada))["type"] == "tracks"
    removing = client.post("/rooms/demo/remove", json={"user_ids": ["bob"]})
    for _ in range(50):
        await bob.send_json({"type": "signal", "to": adas["id"], "data": {"late": True}})
    async with removing as response:
        assert response.status == 204
    await ada.send_json({"type": "ping"})

    heard = [await read(ada)]
    while heard[-1] != {"type": "pong"}:
        heard.append(await read(ada))
    left = heard.index({"type": "left", "id": bobs["id"]})
    assert {message["type"] for message in heard[:left]} <= {"signal"}
    assert heard[left + 1 :] == [{"type": "pong"}]


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"user_ids": "ada"}', '{"user_ids": [1]}', '{"user_ids": null}', "\x00"],
)
async def test_a_list_that_cannot_be_read_removes_nobody(client: Client, body: str) -> None:
    await join(client, "ada")
    response = await client.post("/rooms/demo/remove", data=body)
    assert response.status == 400
    response = await client.post("/rooms/demo/remove", data=b'{"user_ids": ["\xff"]}')
    assert response.status == 400


async def test_a_page_of_another_host_removes_nobody(client: Client) -> None:
    await join(client, "ada")
    for origin in ("http://evil.example", "null"):
        headers = {"Origin": origin}
        assert (await client.delete("/rooms/demo", headers=headers)).status == 403
        response = await client.post(
            "/rooms/demo/remove", data='{"user_ids": ["ada"]}', headers=headers
        )
        assert response.status == 403


async def test_behind_tokens_only_the_administrators_counts() -> None:
    application = room_application(token=TOKEN, admin_token=ADMIN)
    async with TestClient(TestServer(application)) as client:
        for authorization in ({}, {"Authorization": f"Bearer {TOKEN}"}):
            response = await client.delete("/rooms/demo", headers=authorization)
            assert response.status == 403
            assert TOKEN not in await response.text()
        headers = {"Authorization": f"Bearer {ADMIN}"}
        assert (await client.delete("/rooms/demo", headers=headers)).status == 404


def test_a_room_with_a_token_for_joining_only_has_no_administrators() -> None:
    assert may_administer(None, admin_token=None, join_token=None)
    assert not may_administer(f"Bearer {TOKEN}", admin_token=None, join_token=TOKEN)
    assert may_administer(f"Bearer {ADMIN}", admin_token=ADMIN, join_token=None)
    assert not may_administer(None, admin_token=ADMIN, join_token=None)


def test_an_administrators_token_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(InvalidField, match="^admin_token: must have at least 16"):
        check_exposure("127.0.0.1", None, admin_token="x" * 15, allow_remote=False)
