"""Administrators of rooms against the real servers: the test room, and Janus."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.rooms.mesh_world import Ear
from tests.support.company import company, event
from tests.support.janus import URL, JanusClient, JanusOptions, janus_server
from tests.support.janus_cast import janus_cast
from tests.support.namespace import network_namespace
from tests.support.waiting import until
from worker.errors import RoomError, RoomRefused
from worker.jobs.ports import RoomKeeper
from worker.ports import ParticipantJoined, ParticipantLeft, RoomConnected, RoomDisconnected
from worker.rooms import keeper_janus
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.janus_link import JanusAccess
from worker.rooms.janus_roster import JanusNaming
from worker.rooms.keeper_janus import JanusKeeper
from worker.rooms.keeper_mesh import MeshKeeper
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.server import serve_room

ADMIN = "the-token-of-an-administrator"
JOIN = "the-token-of-everybody"
SECRET = "planted-room-secret"  # noqa: S105
"""Of the room, as Janus calls it."""
ADA = '[[participants]]\nuser_id = "ada"\nname = "Ada"\n'
BOB = '[[participants]]\nuser_id = "bob"\nname = "Bob"\n'


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


async def told(keeper: RoomKeeper, expected: dict[str, dict[str, bool]]) -> None:
    """Wait until *keeper* tells that: who is in which room, and whether with a screen."""
    async with asyncio.timeout(15):
        while True:
            rooms = await keeper.people()
            if {
                room: {each.user_id: each.shares_screen for each in there}
                for room, there in rooms.items()
            } == expected:
                return
            await asyncio.sleep(0.1)


# --- the test room --------------------------------------------------------------------------


async def test_who_is_removed_leaves_the_recording_and_nobody_else_does(
    library: LoopLibrary,
) -> None:
    async with company((ADA, BOB), library) as people:
        await people.heard(("ada", "microphone"), ("bob", "microphone"))
        keeper: RoomKeeper = MeshKeeper(people.url)
        await keeper.remove_users("r", ["ada", "nobody"])

        await people.until(lambda: left(people.witness) == {"ada"})
        (bob,) = await people.heard(("bob", "microphone"))
        before = len(people.witness.of(bob))
        await people.until(lambda: len(people.witness.of(bob)) > before + 25)
        assert left(people.witness) == {"ada"}


async def test_who_publishes_in_which_room_is_told(library: LoopLibrary) -> None:
    async with company((ADA, BOB + event(0, "bob", "share_screen")), library) as people:
        keeper: RoomKeeper = MeshKeeper(people.url)
        await told(keeper, {"r": {"ada": False, "bob": True}})


async def test_a_dismissed_room_is_empty_for_who_records_it(library: LoopLibrary) -> None:
    async with company((ADA, BOB), library) as people:
        await people.heard(("ada", "microphone"), ("bob", "microphone"))
        keeper = MeshKeeper(people.url)
        assert await keeper.dismiss("r")

        await people.until(lambda: left(people.witness) == {"ada", "bob"})
        assert not await keeper.dismiss("r"), "nobody is there any more"
        assert not await keeper.dismiss("elsewhere")
        assert not any(isinstance(e, RoomDisconnected) for e in people.witness.events)


def left(witness: Any) -> set[str]:
    names = {
        event.participant.participant_id: str(event.participant.user_id)
        for event in witness.events
        if isinstance(event, ParticipantJoined)
    }
    return {names[e.participant_id] for e in witness.events if isinstance(e, ParticipantLeft)}


async def test_a_wrong_token_is_refused_in_words_without_it() -> None:
    async with serve_room(token=JOIN, admin_token=ADMIN) as address:
        url = f"{address.ws_url}?token={JOIN}"
        assert not await MeshKeeper(url, admin_token=ADMIN).dismiss("r")
        for keeper in (MeshKeeper(url), MeshKeeper(url, admin_token=f"{ADMIN}?")):
            with pytest.raises(RoomRefused) as refusal:
                await keeper.remove_users("r", ["ada"])
            assert ADMIN not in str(refusal.value)
            assert JOIN not in str(refusal.value)


async def test_a_server_that_is_away_or_strange_is_a_room_error_without_its_address() -> None:
    async with serve_room() as address:
        pass
    with pytest.raises(RoomError) as failure:
        await MeshKeeper(f"{address.ws_url}?token={JOIN}").dismiss("r")
    assert JOIN not in str(failure.value)
    assert str(address.port) not in str(failure.value)

    async with strange_server(500) as url:
        with pytest.raises(RoomError, match="answered 500"):
            await MeshKeeper(url).dismiss("r")
    async with strange_server(307) as url:
        with pytest.raises(RoomError, match="answered 307"):
            await MeshKeeper(url).remove_users("../../x", ["ada"])


@asynccontextmanager
async def strange_server(status: int) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    finally:
        await runner.cleanup()


# --- Janus ----------------------------------------------------------------------------------


@pytest.fixture
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


def janus_keeper(**options: Any) -> JanusKeeper:
    return JanusKeeper(URL, clock_ns=time.monotonic_ns, room_secret=SECRET, **options)


@asynccontextmanager
async def guarded_janus(directory: Path, **options: Any) -> AsyncIterator[None]:
    async with janus_server(directory, JanusOptions(room_settings={"secret": SECRET}, **options)):
        yield


@asynccontextmanager
async def member(name: str, room: int | str = 1234, **connect: Any) -> AsyncIterator[JanusClient]:
    """Somebody in the room who publishes nothing."""
    async with JanusClient.connect(**connect) as client:
        handle = await client.attach()
        join = {"request": "join", "ptype": "publisher", "room": room, "display": name}
        await client.message(handle, join)
        yield client


async def parting(client: JanusClient) -> str:
    """Why the plugin says that this one is out, which it does next of all."""
    async with asyncio.timeout(10):
        while True:
            data = (await client.events.get()).get("plugindata", {}).get("data", {})
            if data.get("leaving") == "ok":
                return str(data["reason"])


@pytest.mark.usefixtures("namespace")
async def test_janus_users_are_removed_by_display_name_or_by_number(tmp_path: Path) -> None:
    async with guarded_janus(tmp_path), member("Ann") as ann, member("Ben") as ben:
        by_name = janus_keeper(naming=JanusNaming(user_id_is_display=True))
        await by_name.remove_users("1234", ["Ann", "Nobody"])
        assert await parting(ann) == "kicked"
        assert (await listed("1234")).keys() == {"Ben"}

        (ben_id,) = (await listed("1234")).values()
        await janus_keeper().remove_users("1234", ["Ben"])
        assert (await listed("1234")).keys() == {"Ben"}, "there, names are no ids"
        await janus_keeper().remove_users("1234", [str(ben_id)])
        assert await parting(ben) == "kicked"
        assert await listed("1234") == {}


@pytest.mark.usefixtures("namespace")
async def test_who_publishes_in_janus_rooms_is_told(tmp_path: Path) -> None:
    async with guarded_janus(tmp_path):
        keeper: RoomKeeper = janus_keeper(naming=JanusNaming(user_id_is_display=True))
        async with member("Ann"):
            assert await keeper.people() == {}, "who publishes nothing is nobody to record"
        async with janus_cast(ADA + BOB):
            await told(keeper, {"1234": {"Ada": False, "Bob": False}})


@pytest.mark.usefixtures("namespace")
async def test_a_dismissed_janus_room_is_empty_and_its_recorder_stays(tmp_path: Path) -> None:
    ear = Ear()
    recorder = JanusRoom(url=URL, entry=JanusEntry(1234), clock_ns=time.monotonic_ns)
    async with guarded_janus(tmp_path), asyncio.TaskGroup() as tasks:
        recording = tasks.create_task(recorder.run(ear))
        await until(lambda: any(isinstance(e, RoomConnected) for e in ear.events))
        async with member("Ann") as ann, member("mixworker?") as listener:
            assert await janus_keeper().dismiss("1234")
            assert await parting(ann) == "kicked"
            assert await parting(listener) == "kicked"
            assert (await listed("1234")).keys() == {"mixworker"}
        assert await janus_keeper().dismiss("1234"), "the room is still there"
        assert not await janus_keeper().dismiss("77")
        assert not await janus_keeper().dismiss("no-number")
        assert not any(isinstance(e, RoomDisconnected) for e in ear.events)
        recording.cancel()


@pytest.mark.usefixtures("namespace")
async def test_a_named_janus_room_is_destroyed_where_that_is_wanted(tmp_path: Path) -> None:
    async with guarded_janus(tmp_path, room="lounge"), member("Ann", "lounge") as ann:
        keeper = janus_keeper(rooms_are_named=True, destroys_rooms=True)
        assert await keeper.dismiss("lounge")
        assert await parting(ann) == "kicked"
        assert not await keeper.dismiss("lounge")


@pytest.mark.usefixtures("namespace")
async def test_what_janus_refuses_is_said_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_janus, "WITHIN_S", 2.0)
    api_secret = "planted-api-secret"
    async with (
        guarded_janus(tmp_path, api_secret=api_secret),
        member("Ann", api_secret=api_secret),
    ):
        wrong = JanusKeeper(
            URL,
            clock_ns=time.monotonic_ns,
            access=JanusAccess(api_secret),
            room_secret="planted-wrong-secret",
        )
        with pytest.raises(RoomRefused, match="does not accept our secret") as refusal:
            await wrong.dismiss("1234")
        assert "planted" not in str(refusal.value)
        with pytest.raises(RoomRefused, match="API secret"):
            await janus_keeper().dismiss("1234")
    with pytest.raises(RoomError, match="Janus does not answer"):
        await janus_keeper().dismiss("1234")


async def listed(room: str) -> dict[str, int]:
    """Who is in the room, as Janus itself tells."""
    async with JanusClient.connect() as client:
        handle = await client.attach()
        reply = await client.message(handle, {"request": "listparticipants", "room": int(room)})
        people = reply["plugindata"]["data"]["participants"]
        return {person["display"]: person["id"] for person in people}
