import asyncio

from worker.rooms.handshakes import MAX_HANDSHAKES, SLOT_S, Handshakes
from worker.testroom.virtual_loop import run_virtual


def begun(durations_s: list[float]) -> list[float]:
    """When each of so many connections, wanted at once, may begin."""

    async def run() -> list[float]:
        handshakes, began_s = Handshakes(), []
        loop = asyncio.get_running_loop()

        async def connect(duration_s: float) -> None:
            async with handshakes.slot():
                began_s.append(loop.time())
                await asyncio.sleep(duration_s)

        async with asyncio.TaskGroup() as tasks:
            for duration_s in durations_s:
                tasks.create_task(connect(duration_s))
        return began_s

    return run_virtual(run())


def test_eight_shake_hands_at_once_and_the_others_wait() -> None:
    assert MAX_HANDSHAKES == 8
    began_s = begun([0.2] * 25)
    assert [round(at_s / 0.2) for at_s in began_s] == [0] * 8 + [1] * 8 + [2] * 8 + [3]


def test_who_waits_for_a_dead_network_keeps_nobody_else_waiting_long() -> None:
    began_s = begun([15.0] * 8 + [0.1] * 8)
    assert [round(at_s, 1) for at_s in began_s] == [0.0] * 8 + [SLOT_S] * 8


def test_a_slot_comes_back_once_only() -> None:
    began_s = begun([1.5] * 8 + [3.0] * 16)
    assert [round(at_s, 1) for at_s in began_s] == [0.0] * 8 + [1.0] * 8 + [2.0] * 8
