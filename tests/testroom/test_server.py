"""The room server over real sockets."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from worker.errors import InvalidField, RoomError
from worker.testroom import connection
from worker.testroom.connection import (
    MAX_MISTAKES,
    MESSAGE_BURST,
    MESSAGES_PER_S,
    MessageAllowance,
    Outbox,
)
from worker.testroom.server import room_application, serve_room

TOKEN = "a-token-of-some-length"
MICROPHONE = {"track": "mic", "kind": "audio", "source": "microphone", "muted": False}

Client = TestClient[Any, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(room_application())) as client:
        yield client


async def join(
    client: Client, user: str = "ada", role: str = "publisher", **fields: str
) -> ClientWebSocketResponse:
    """A connection that has joined and read its welcome and the number of recorders."""
    ws = await client.ws_connect("/ws")
    message = {"type": "join", "room": "demo", "user_id": user, "name": user.title(), "role": role}
    await ws.send_json(message | fields)
    assert (await read(ws))["type"] == "welcome"
    assert (await read(ws))["type"] == "recorders"
    return ws


async def read(ws: ClientWebSocketResponse) -> dict[str, Any]:
    message: dict[str, Any] = await ws.receive_json(timeout=5)
    return message


async def closing(ws: ClientWebSocketResponse) -> int | None:
    """The close code, which must come next."""
    message = await ws.receive(timeout=5)
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED), message
    return ws.close_code


async def test_two_peers_meet_see_each_others_tracks_and_part(client: Client) -> None:
    ada = await join(client, "ada")
    bob = await join(client, "bob")
    joined = await read(ada)
    bob_id = joined["participant"]["id"]
    assert joined["participant"]["user_id"] == "bob"

    await bob.send_json({"type": "tracks", "tracks": [MICROPHONE]})
    assert await read(ada) == {"type": "tracks", "id": bob_id, "tracks": [MICROPHONE]}

    await bob.close()
    assert await read(ada) == {"type": "left", "id": bob_id}


async def test_signals_are_relayed_both_ways_unchanged(client: Client) -> None:
    ada = await join(client, "ada")
    rec = await join(client, "rec", "subscriber")
    assert await read(ada) == {"type": "recorders", "count": 1}
    rooms = await (await client.get("/rooms")).json()
    ada_id = rooms["rooms"][0]["participants"][0]["id"]

    await rec.send_json(
        {"type": "signal", "to": ada_id, "data": {"kind": "subscribe", "session": "s1"}}
    )
    subscribe = await read(ada)
    assert subscribe["data"] == {"kind": "subscribe", "session": "s1"}
    offer = {"kind": "offer", "session": "s1", "sdp": "v=0\r\nü", "mids": {"0": "mic"}}
    await ada.send_json({"type": "signal", "to": subscribe["from"], "data": offer})

    assert await read(rec) == {"type": "signal", "from": ada_id, "data": offer}


async def test_a_ping_is_answered(client: Client) -> None:
    ada = await join(client)

    await ada.send_json({"type": "ping"})

    assert await read(ada) == {"type": "pong"}


async def test_a_connection_that_breaks_is_a_participant_who_left(client: Client) -> None:
    ada = await join(client, "ada")
    bob = await join(client, "bob")
    bob_id = (await read(ada))["participant"]["id"]

    bob._conn.transport.abort()  # type: ignore[union-attr]

    assert await read(ada) == {"type": "left", "id": bob_id}


async def test_a_mistake_is_named_and_the_connection_goes_on(client: Client) -> None:
    ada = await join(client)

    for message, field in [
        ("no json", "message"),
        ('{"type":"tracks","tracks":[{"track":"x"}]}', "tracks[0].kind"),
        ('{"type":"join"}', "room"),
        (
            '{"type":"join","room":"a","user_id":"a","name":"a","role":"publisher"}',
            "type",
        ),
        ('{"type":"signal","to":"x"}', "data"),
    ]:
        await ada.send_str(message)
        error = await read(ada)
        assert (error["type"], error["field"]) == ("error", field)
    await ada.send_bytes(b'{"type":"ping"}')
    assert (await read(ada))["field"] == "message"

    await ada.send_json({"type": "ping"})
    assert await read(ada) == {"type": "pong"}


async def test_a_client_that_sends_only_garbage_is_cut_off(client: Client) -> None:
    ada = await join(client, "ada")
    bob = await join(client, "bob")
    await read(ada)

    for _ in range(MAX_MISTAKES + 5):
        await bob.send_str("garbage")
    answers = [await read(bob) for _ in range(MAX_MISTAKES + 1)]

    assert {answer["type"] for answer in answers} == {"error"}
    assert answers[-1]["reason"] == "too many mistakes"
    assert await closing(bob) == WSCloseCode.POLICY_VIOLATION
    assert (await read(ada))["type"] == "left"


async def test_a_message_beyond_1_mib_closes_the_connection(client: Client) -> None:
    ada = await join(client)

    await ada.send_str('{"type":"ping","x":"' + "x" * 1024 * 1024 + '"}')

    assert await closing(ada) == WSCloseCode.MESSAGE_TOO_BIG


async def test_a_message_just_below_1_mib_is_relayed(client: Client) -> None:
    ada = await join(client, "ada")
    bob = await join(client, "bob")
    bob_id = (await read(ada))["participant"]["id"]
    data = {"kind": "offer", "sdp": "x" * (1024 * 1024 - 400)}

    await ada.send_json({"type": "signal", "to": bob_id, "data": data})

    assert (await read(bob))["data"] == data


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("nonsense", "message: is not JSON"),
        ('{"type":"ping"}', "type: join must come first"),
        ('{"type":"join","room":"a b","user_id":"u","name":"n","role":"publisher"}', "room: "),
        ('{"type":"join","room":"ab","user_id":"u","name":"n","role":"boss"}', "role: "),
    ],
)
async def test_a_bad_join_is_refused_with_the_field(
    client: Client, first: str, reason: str
) -> None:
    ws = await client.ws_connect("/ws")

    await ws.send_str(first)

    refused = await read(ws)
    assert refused["type"] == "refused"
    assert refused["reason"].startswith(reason)
    assert await closing(ws) == WSCloseCode.POLICY_VIOLATION


async def test_a_binary_join_is_refused(client: Client) -> None:
    ws = await client.ws_connect("/ws")

    await ws.send_bytes(b"{}")

    assert await read(ws) == {"type": "refused", "reason": "message: must be text"}


async def test_who_never_joins_is_refused_in_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "JOIN_WITHIN_S", 0.05)
    ws = await client.ws_connect("/ws")

    assert (await read(ws))["reason"].startswith("type: no join within")
    assert await closing(ws) == WSCloseCode.POLICY_VIOLATION


async def test_who_hangs_up_before_joining_leaves_nothing_behind(client: Client) -> None:
    ws = await client.ws_connect("/ws")

    await ws.close()

    assert await (await client.get("/rooms")).json() == {"rooms": []}


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://127.0.0.1:1"])
async def test_a_foreign_page_cannot_join(client: Client, origin: str) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await client.ws_connect("/ws", headers={"Origin": origin})

    assert caught.value.status == 403


async def test_the_servers_own_page_can_join(client: Client) -> None:
    origin = str(client.make_url("")).rstrip("/")

    ws = await client.ws_connect("/ws", headers={"Origin": origin})

    await ws.send_json({"type": "ping"})
    assert (await read(ws))["type"] == "refused"


@pytest.mark.parametrize("path", ["/", "/ws", "/rooms", "/page/main.js"])
async def test_a_foreign_name_for_loopback_gets_nothing(client: Client, path: str) -> None:
    response = await client.get(path, headers={"Host": "rebound.example.org"})

    assert response.status == 403
    assert (await response.json())["error"].startswith("Host: ")


async def test_rooms_lists_who_is_where(client: Client) -> None:
    ada = await join(client)
    await ada.send_json({"type": "tracks", "tracks": [MICROPHONE]})
    await join(client, "rec", "subscriber")

    (room,) = (await (await client.get("/rooms")).json())["rooms"]

    (listed,) = room["participants"]
    assert (room["room"], room["recorders"]) == ("demo", 1)
    assert (listed["user_id"], listed["name"], listed["tracks"]) == ("ada", "Ada", [MICROPHONE])


async def test_the_page_and_its_modules_are_served_with_strict_headers(client: Client) -> None:
    page = await client.get("/")
    assert page.status == 200
    assert page.content_type == "text/html"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]

    module = await client.get("/page/main.js")
    assert module.content_type == "text/javascript"


def test_the_page_needs_nothing_from_outside() -> None:
    files = [*resources.files("worker.testroom").joinpath("page").iterdir()]
    addresses = {
        address
        for file in files
        for address in re.findall(r"\w+://\w[^\s'\"`)]*", file.read_text(encoding="utf-8"))
    }

    assert "index.html" in {file.name for file in files}
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a namespace, never fetched


@pytest.mark.parametrize(
    "path", ["/page/none.js", "/page/..%2fserver.py", "/page/__init__.py", "/other", "/page/"]
)
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    response = await client.get(path)

    assert response.status == 404
    assert set(await response.json()) == {"error"}


async def test_a_plain_request_to_ws_is_a_bad_request(client: Client) -> None:
    assert (await client.get("/ws")).status == 400


async def test_a_served_room_tells_its_bound_port_and_frees_it() -> None:
    async with serve_room() as address:
        assert address.host == "127.0.0.1"
        assert address.ws_url == f"ws://127.0.0.1:{address.port}/ws"
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        await writer.wait_closed()
        with pytest.raises(RoomError, match=f"port {address.port}"):
            async with serve_room(port=address.port):
                pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, address.port)


async def test_the_room_is_not_opened_to_the_network_by_accident() -> None:
    for host, token, allow in [("0.0.0.0", TOKEN, False), ("0.0.0.0", None, True)]:
        with pytest.raises(InvalidField):
            async with serve_room(host, token=token, allow_remote=allow):
                pass


async def test_a_token_is_asked_for_everywhere_but_in_the_page() -> None:
    async with TestClient(TestServer(room_application(token=TOKEN))) as client:
        stranger = await client.ws_connect("/ws")
        await stranger.send_json(
            {"type": "join", "room": "demo", "user_id": "eve", "name": "Eve", "role": "publisher"}
        )
        assert await read(stranger) == {"type": "refused", "reason": "token: missing or wrong"}
        assert (await client.get("/rooms")).status == 401
        assert (await (await client.get("/healthz")).json())["token_required"] is True
        assert (await client.get("/", headers={"Host": "room:8080"})).status == 200

        await join(client, "ada", token=TOKEN)
        listing = await client.get("/rooms", headers={"Authorization": f"Bearer {TOKEN}"})
        text = await listing.text()
        assert "ada" in text
        assert TOKEN not in text


async def test_a_token_may_come_in_the_address_as_job_documents_have_only_that() -> None:
    async with TestClient(TestServer(room_application(token=TOKEN))) as client:
        ws = await client.ws_connect(f"/ws?token={TOKEN}")
        await ws.send_json(
            {"type": "join", "room": "demo", "user_id": "r", "name": "R", "role": "subscriber"}
        )

        assert (await read(ws))["type"] == "welcome"


async def test_clients_are_told_when_the_server_stops() -> None:
    server = TestServer(room_application())
    client: Client = TestClient(server)
    await client.start_server()
    ada = await join(client)

    async with asyncio.TaskGroup() as group:
        code = group.create_task(closing(ada))
        group.create_task(server.close())

    assert code.result() == WSCloseCode.GOING_AWAY
    await client.close()


async def test_a_peer_that_reads_nothing_is_cut_off_and_costs_the_others_nothing(
    client: Client,
) -> None:
    ada = await join(client, "ada")
    reader, writer = await raw_join(client, "stalled")
    stalled_id = (await read(ada))["participant"]["id"]
    blob = {"type": "signal", "to": stalled_id, "data": {"blob": "x" * 1_000_000}}

    left = None
    for _ in range(40):
        await ada.send_json(blob)
        await ada.send_json({"type": "ping"})
        answers = [await read(ada)]
        if answers[0]["type"] == "left":
            left = answers[0]
            break
        assert answers == [{"type": "pong"}]

    assert left == {"type": "left", "id": stalled_id}
    writer.transport.abort()
    del reader


async def raw_join(client: Client, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Join over a bare socket with a small buffer that nobody reads from afterwards."""
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bare.setblocking(False)
    host, port = client.host, client.port
    await asyncio.get_running_loop().sock_connect(bare, (host, port))
    reader, writer = await asyncio.open_connection(sock=bare, limit=4096)
    message = {"type": "join", "room": "demo", "user_id": user, "name": user, "role": "publisher"}
    payload = json.dumps(message).encode()
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        + bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0])  # one text frame, masked with zeros
        + payload
    )
    await writer.drain()
    return reader, writer


def test_a_burst_passes_and_a_flood_is_slowed_to_the_rate() -> None:
    allowance = MessageAllowance()

    waits = [allowance.take(100.0) for _ in range(MESSAGE_BURST + 200)]

    assert waits[:MESSAGE_BURST] == pytest.approx([0.0] * MESSAGE_BURST, abs=1e-6)
    assert waits[-1] == pytest.approx(200 / MESSAGES_PER_S)


def test_an_allowance_grows_back_with_time() -> None:
    allowance = MessageAllowance()
    for _ in range(MESSAGE_BURST):
        allowance.take(100.0)

    waits = [allowance.take(101.0) for _ in range(MESSAGES_PER_S + 1)]

    assert waits[-2] == pytest.approx(0.0, abs=1e-6)
    assert waits[-1] == pytest.approx(1 / MESSAGES_PER_S)


def test_an_outbox_that_overflows_cuts_its_peer_off_once() -> None:
    cuts: list[None] = []
    outbox = Outbox(lambda: cuts.append(None))

    for _ in range(2 * connection.MAX_WAITING_MESSAGES):
        outbox.put("x")

    assert len(cuts) == 1
