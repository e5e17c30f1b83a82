"""Media through a real TURN server on loopback, over UDP and TCP."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.company import LOOPBACK, actor, company, missing
from tests.support.turn import turn_server
from worker.core.identity import Kind
from worker.rooms import subscription
from worker.rooms.ice import IceServer, IceSettings
from worker.rooms.session import MediaSession
from worker.testroom.loop_media import LoopLibrary

ADA = actor("ada", "camera = { live = true }")
BOTH = [("ada", "camera"), ("ada", "microphone")]
RELAYED = IceSettings(relay_only=True)


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(kind of our candidate, port of the other end) of every session that connected."""
    found: list[tuple[str, int]] = []
    connect = MediaSession.connect

    async def connect_and_note(self: MediaSession, *args: float) -> None:
        await connect(self, *args)
        pair = self._peer._internals.selected_pair()
        assert pair is not None
        found.append((pair.local_candidate.type, pair.remote_addr[1]))

    monkeypatch.setattr(MediaSession, "connect", connect_and_note)
    return found


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_media_comes_through_turn_alone_within_three_seconds(
    library: LoopLibrary, tmp_path: Path, transport: str, pairs: list[tuple[str, int]]
) -> None:
    async with turn_server(tmp_path) as turn:
        ice = replace(RELAYED, servers=(turn.over(transport),))
        async with company(ADA, library, worker_ice=ice) as people:
            began_s = asyncio.get_running_loop().time()
            camera, microphone = await people.heard(*BOTH, frames=1)
            took_s = asyncio.get_running_loop().time() - began_s
            print(f"first media over {transport} after {took_s:.2f} s")
            assert took_s <= 3
            await people.heard(*BOTH, frames=60)
            assert missing(people.witness.of(camera), Kind.VIDEO) == 0
            assert missing(people.witness.of(microphone), Kind.AUDIO) == 0
            assert [kind for kind, _ in pairs] == ["relay"]
            counters = people.room.statistics()[camera]
            assert counters.packets_lost == 0
            assert counters.frames_received == len(people.witness.of(camera))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_both_ends_behind_turn_find_each_other(
    library: LoopLibrary, tmp_path: Path, transport: str, pairs: list[tuple[str, int]]
) -> None:
    async with turn_server(tmp_path) as turn:
        ice = replace(RELAYED, servers=(turn.over(transport),))
        async with company(ADA, library, worker_ice=ice, cast_ice=ice) as people:
            camera, microphone = await people.heard(*BOTH, frames=40)
            assert missing(people.witness.of(microphone), Kind.AUDIO) == 0
            assert [kind for kind, _ in pairs] == ["relay"]
            assert {port for _, port in pairs} <= set(turn.relay_ports)


async def test_where_one_turn_server_fails_the_next_one_is_tried(
    library: LoopLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with turn_server(tmp_path) as turn:
        wrong = IceServer(turn.over("udp").url, "recorder", "wrong")
        ice = replace(RELAYED, servers=(wrong, turn.over("tcp")))
        async with company(ADA, library, worker_ice=ice) as people:
            await people.heard(*BOTH)


async def test_a_turn_server_in_vain_costs_a_reachable_publisher_nothing_but_time(
    library: LoopLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "OFFER_TIMEOUT_S", 10)
    nobody = IceServer("turn:127.0.0.1:9?transport=tcp", "recorder", "x")
    async with company(ADA, library, worker_ice=replace(LOOPBACK, servers=(nobody,))) as people:
        await people.heard(*BOTH)
