import asyncio

from worker.rooms.cancellation import stop_if_cancelled


async def endless(rounds: list[int], wait: asyncio.Future[None]) -> None:
    """A loop around a wait that loses its cancellation."""
    while True:
        stop_if_cancelled()
        rounds.append(len(rounds))
        await asyncio.wait_for(wait, timeout=60)
        wait = asyncio.get_running_loop().create_future()


async def test_a_cancellation_that_a_wait_has_swallowed_still_ends_the_task() -> None:
    loop = asyncio.get_running_loop()
    wait, rounds = loop.create_future(), list[int]()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(endless(rounds, wait))
        await asyncio.sleep(0)
        wait.set_result(None)
        await asyncio.sleep(0)  # the result is there, the task has not run yet
        task.cancel()
    assert task.cancelled()
    assert rounds == [0]


async def test_who_was_not_cancelled_goes_on() -> None:
    stop_if_cancelled()
