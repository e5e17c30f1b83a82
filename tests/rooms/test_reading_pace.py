"""How often a room looks for what has come: less often while nobody waits for anything."""

import asyncio
from itertools import pairwise

import pytest

from worker.rooms.reader import CALM_INTERVAL_S, READ_INTERVAL_S
from worker.rooms.receiving import Receiving
from worker.testroom.virtual_loop import run_virtual


class Waiting:
    """A connection that waits for a lost packet from one instant to another, in s."""

    def __init__(self, from_s: float, to_s: float) -> None:
        self._from_s, self._to_s = from_s, to_s
        self.polled_s: list[float] = []

    @property
    def is_calm(self) -> bool:
        return not self._from_s <= asyncio.get_running_loop().time() < self._to_s

    def poll(self, now_ns: int) -> None:
        self.polled_s.append(asyncio.get_running_loop().time())


def test_one_connection_that_waits_makes_its_room_look_more_often() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        one, other = Waiting(loop.time() + 1, loop.time() + 2), Waiting(0, 0)
        polling = asyncio.create_task(
            Receiving(lambda: round(loop.time() * 1e9))._poll(lambda: (one, other))
        )
        began_s = loop.time()
        await asyncio.sleep(3)
        polling.cancel()
        assert one.polled_s == other.polled_s
        return [polled_s - began_s for polled_s in one.polled_s]

    polled_s = run_virtual(main())
    pauses = [(a, b - a) for a, b in pairwise(polled_s)]
    for at_s, pause_s in pauses:
        expected_s = READ_INTERVAL_S if 1 <= at_s < 2 else CALM_INTERVAL_S
        assert pause_s == pytest.approx(expected_s, abs=0.001), at_s
