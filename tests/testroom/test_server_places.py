"""Places that are kept for connections that vanish, over real sockets."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse
from aiohttp.test_utils import TestClient, TestServer

from worker.testroom import connection, seat
from worker.testroom.connection import Outbox
from worker.testroom.server import room_application

Client = TestClient[Any, Any]
MICROPHONE = {"track": "mic", "kind": "audio", "source": "microphone", "muted": False}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(room_application())) as client:
        yield client


async def join(
    client: Client, user: str, resume: str | None = ""
) -> tuple[ClientWebSocketResponse, dict[str, Any]]:
    """A connection that has joined, and its welcome."""
    ws = await client.ws_connect("/ws")
    await ws.send_json(
        {
            "type": "join",
            "room": "demo",
            "user_id": user,
            "name": user,
            "role": "publisher",
            "resume": resume,
        }
    )
    welcome = await read(ws)
    assert welcome["type"] == "welcome"
    assert (await read(ws))["type"] == "recorders"
    return ws, welcome


async def read(ws: ClientWebSocketResponse) -> dict[str, Any]:
    message: dict[str, Any] = await ws.receive_json(timeout=5)
    return message


def break_off(ws: ClientWebSocketResponse) -> None:
    ws._conn.transport.abort()  # type: ignore[union-attr]


async def test_who_comes_back_finds_its_place_the_others_and_what_was_said(client: Client) -> None:
    ada, was = await join(client, "ada")
    bob, bobs = await join(client, "bob")
    await read(ada)

    break_off(ada)
    signal = {"type": "signal", "to": was["id"], "data": {"kind": "subscribe"}}
    await bob.send_json({"type": "tracks", "tracks": [MICROPHONE]})
    await bob.send_json(signal)
    await bob.send_json({"type": "ping"})
    assert await read(bob) == {"type": "pong"}
    ada, again = await join(client, "ada", was["resume"])

    assert (again["id"], again["resumed"], again["resume"]) == (was["id"], True, was["resume"])
    assert again["participants"][0]["tracks"] == [MICROPHONE]
    assert await read(ada) == {
        "type": "signal",
        "from": bobs["id"],
        "data": {"kind": "subscribe"},
    }
    await bob.send_json({"type": "ping"})
    assert await read(bob) == {"type": "pong"}, "bob was told nothing"


async def test_a_place_can_be_taken_from_a_connection_that_looks_alive(client: Client) -> None:
    old, was = await join(client, "ada")

    new, again = await join(client, "ada", was["resume"])

    assert again["id"] == was["id"]
    await new.send_json({"type": "ping"})
    assert await read(new) == {"type": "pong"}
    assert (await old.receive(timeout=5)).type.name in ("CLOSED", "CLOSE", "ERROR")


async def test_a_goodbye_gives_the_place_up_at_once(client: Client) -> None:
    ada, was = await join(client, "ada")
    bob, _ = await join(client, "bob")

    await ada.close()

    assert await read(bob) == {"type": "left", "id": was["id"]}
    _, again = await join(client, "ada", was["resume"])
    assert again["resumed"] is False
    assert again["id"] != was["id"]


async def test_a_failure_that_is_named_is_no_goodbye(client: Client) -> None:
    ada, was = await join(client, "ada")
    await ada.close(code=1002)
    _, again = await join(client, "ada", was["resume"])

    assert again["resumed"] is True


async def test_a_place_is_not_kept_forever(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "KEPT_S", 0.05)
    ada, was = await join(client, "ada")
    bob, _ = await join(client, "bob")
    break_off(ada)

    assert await read(bob) == {"type": "left", "id": was["id"]}
    _, again = await join(client, "ada", was["resume"])
    assert again["resumed"] is False


async def test_who_joins_afresh_replaces_its_own_presence_that_is_away(client: Client) -> None:
    ada, was = await join(client, "ada")
    bob, _ = await join(client, "bob")
    break_off(ada)
    await bob.send_json({"type": "ping"})
    assert await read(bob) == {"type": "pong"}

    _, again = await join(client, "ada")

    assert await read(bob) == {"type": "left", "id": was["id"]}
    joined = await read(bob)
    assert joined["participant"]["id"] == again["id"]


async def test_a_place_for_which_too_much_is_waiting_is_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_WAITING_MESSAGES", 20)
    ada, was = await join(client, "ada")
    bob, _ = await join(client, "bob")
    break_off(ada)

    for _ in range(30):
        await bob.send_json({"type": "signal", "to": was["id"], "data": {}})

    assert await read(bob) == {"type": "left", "id": was["id"]}


def test_an_outbox_keeps_what_is_lasting_behind_the_welcome() -> None:
    outbox = Outbox(lambda: None)
    outbox.put("old news")
    outbox.put("old signal", is_lasting=True)
    outbox.close()
    outbox.park()
    outbox.put("news")
    outbox.put("signal", is_lasting=True)
    outbox.reopen(["welcome"])
    outbox.put("more news")

    assert [text for text, _ in outbox._waiting] == [
        "welcome",
        "old signal",
        "signal",
        "more news",
    ]
