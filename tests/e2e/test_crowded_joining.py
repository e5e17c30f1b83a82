"""Many who join at once, and one who joins again and again: real connections, in real time."""

import asyncio
import time
from itertools import pairwise

import pytest

from tests.support.company import LOOPBACK, SMALL, Witness, actor, company, event
from tests.support.live import cast
from worker.core.timing import NS_PER_S
from worker.ports import ParticipantJoined, ParticipantLeft
from worker.rooms.mesh import MeshRoom
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.server import serve_room

CROWD = 25
JOIN_WITHIN_S = 1.0
VISIBLE_WITHIN_S = 5.0
ATTEMPTS = 3
"""A neighbour of this machine can stall both cores; who is too slow is so each time."""


async def all_visible_after_s() -> float:
    """From the first joining to the first picture and sound of the last of twenty-five."""
    people = "".join(
        actor(f"user-{n}", f"join_s = {1 + n * JOIN_WITHIN_S / CROWD:.2f}") for n in range(CROWD)
    )
    witness = Witness()
    async with serve_room() as address:
        room = MeshRoom(
            url=address.ws_url,
            room_id="live",
            user_id="recorder",
            clock_ns=time.monotonic_ns,
            ice=LOOPBACK,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(room.run(witness))
            async with cast(SMALL + people, address.ws_url), asyncio.timeout(30):
                while witness.count(ParticipantJoined) == 0:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
                began_ns = time.monotonic_ns()
                while len({frame.track_id for frame in witness.frames}) < 2 * CROWD:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            running.cancel()
    first = {}
    for frame in witness.frames:
        first.setdefault(frame.track_id, frame)
    assert all(each.keyframe for each in first.values())
    return (max(each.arrival_ns for each in first.values()) - began_ns) / NS_PER_S


@pytest.mark.timeout(150)
async def test_twenty_five_who_join_within_a_second_are_all_received_within_five() -> None:
    took_s = []
    for _ in range(ATTEMPTS):
        took_s.append(await all_visible_after_s())
        if took_s[-1] <= VISIBLE_WITHIN_S:
            break
    print("all received after", [f"{each:.2f} s" for each in took_s])
    assert took_s[-1] <= VISIBLE_WITHIN_S


async def come_and_go(cycles: int) -> None:
    """One user leaves and joins again that often; every presence is received, one at a time."""
    cycle_s = 1.2
    moves = "".join(
        event(1 + n * cycle_s, "ada", "leave") + event(1.3 + n * cycle_s, "ada", "rejoin")
        for n in range(cycles)
    )
    library = LoopLibrary(None)
    deadline_s = 20 + 2 * cycles * cycle_s
    async with company([actor("ada"), moves], library, deadline_s=deadline_s) as people:
        witness = people.witness
        await people.until(lambda: witness.count(ParticipantJoined) == cycles + 1)
        await people.heard(("ada", "camera"), ("ada", "microphone"))
        assert witness.count(ParticipantLeft) == cycles
        present = 0
        for each in witness.events:
            present += isinstance(each, ParticipantJoined) - isinstance(each, ParticipantLeft)
            assert present in (0, 1)
        presences = [
            each.participant.participant_id
            for each in witness.events
            if isinstance(each, ParticipantJoined)
        ]
        heard = {frame.track_id.split("/")[0] for frame in witness.frames}
        assert heard == set(presences), "somebody was there and not received"
        order = [presences.index(frame.track_id.split("/")[0]) for frame in witness.frames]
        assert all(after >= before for before, after in pairwise(order))
        assert len(witness.tracks) == 2


async def test_who_leaves_and_comes_back_is_received_every_time() -> None:
    await come_and_go(3)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_two_hundred_returns_are_all_received() -> None:
    await come_and_go(200)
