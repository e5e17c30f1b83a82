"""Operations 24 and 25, through the server."""

import pytest
import pytest_asyncio

from tests.api.routes.jobs_world import APP, BOB, FOREIGN_APP, Keeper, jobs_world
from worker.errors import RoomError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with jobs_world(tmp_path_factory.mktemp("records")) as world:
        yield world


@pytest.fixture
def world(served):
    served.begin()
    return served


@pytest.fixture
def keeper(world):
    world.keepers[APP] = Keeper()
    return world.keepers[APP]


async def test_a_room_that_is_there_is_dismissed(world, keeper):
    reply = await world.call("POST", f"{APP}/rooms/room001/dismiss")
    assert (reply.status, reply.text) == (202, "")
    assert keeper.dismissed == ["room001"]


@pytest.mark.parametrize("room", ["empty", "a%2Fb%20%E6%97%A5", "x" * 65, "..x"])
async def test_a_room_that_is_not_there_cannot_be_dismissed(world, keeper, room):
    reply = await world.call("POST", f"{APP}/rooms/{room}/dismiss")
    assert (reply.status, reply.body) == (
        404,
        {"error_code": "RTC.00001003", "error_msg": "InvalidParameterValue"},
    )
    assert keeper.dismissed == ["empty"] * (room == "empty")


async def test_users_are_removed_once_each(world, keeper):
    body = {"user_ids": ["u1", 2, "u1"], "colour": 1}
    reply = await world.call("POST", f"{APP}/rooms/room001/batch-remove-users", body)
    assert (reply.status, reply.text) == (202, "")
    assert keeper.removed == [("room001", ("u1", "2"))]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ("", 1002, "document"),
        ("[]", 1002, "document"),
        ("{}", 1005, "user_ids"),
        ('{"user_ids": null}', 1005, "user_ids"),
        ('{"user_ids": []}', 1005, "user_ids"),
        ('{"user_ids": "u1"}', 1003, "user_ids"),
        ('{"user_ids": ["u1", ""]}', 1003, "user_ids[1]"),
        ('{"user_ids": [null]}', 1003, "user_ids[0]"),
        ('{"user_ids": ["a b"]}', 1003, "user_ids[0]"),
        (f'{{"user_ids": {["u"] * 501}}}'.replace("'", '"'), 1003, "user_ids"),
    ],
)
async def test_users_must_be_named(world, keeper, body, code, field):
    reply = await world.call("POST", f"{APP}/rooms/room001/batch-remove-users", raw=body)
    assert (reply.status, reply.code) == (400, code)
    assert f": {field}: " in reply.body["error_msg"]
    assert keeper.removed == []


async def test_rooms_that_nobody_administers_are_not_there(world):
    assert (await world.call("POST", f"{APP}/rooms/room001/dismiss")).status == 404
    users = {"user_ids": ["u1"]}
    removed = await world.call("POST", f"{APP}/rooms/room001/batch-remove-users", users)
    assert (removed.status, removed.text) == (202, "")


async def test_rooms_of_others_are_not_there(world, keeper):
    world.keepers[FOREIGN_APP] = Keeper()
    users = {"user_ids": ["u1"]}
    for account, app in ((world.account, FOREIGN_APP), (BOB, APP), (world.account, "0" * 24)):
        world.account = account
        for path, body in (("dismiss", None), ("batch-remove-users", users)):
            assert (await world.call("POST", f"{app}/rooms/room001/{path}", body)).status == 404
    assert keeper.dismissed == keeper.removed == []


async def test_a_room_server_that_fails_is_our_failure(world, keeper, monkeypatch):
    async def down(*_: object) -> bool:
        raise RoomError("no answer from ws://10.0.0.1/")

    monkeypatch.setattr(keeper, "dismiss", down)
    monkeypatch.setattr(keeper, "remove_users", down)
    users = {"user_ids": ["u1"]}
    for path, body in (("dismiss", None), ("batch-remove-users", users)):
        reply = await world.call("POST", f"{APP}/rooms/room001/{path}", body)
        assert (reply.status, reply.code) == (500, 2003)
        assert "10.0.0.1" not in reply.text
