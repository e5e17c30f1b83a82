import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from worker.testroom.virtual_loop import run_virtual


def test_an_hour_passes_in_a_moment():
    async def an_hour() -> float:
        for _ in range(3600):
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    started = time.perf_counter()
    assert run_virtual(an_hour()) == 3600
    assert time.perf_counter() - started < 10


def test_time_stands_still_while_a_thread_works():
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(5))
                await loop.run_in_executor(pool, time.sleep, 0.05)
                after_work = loop.time()
        return after_work, loop.time()

    assert run_virtual(main()) == (0, 5)


def test_timers_fire_in_their_order():
    async def main() -> list[int]:
        fired: list[int] = []
        loop = asyncio.get_running_loop()
        for delay_s in (3, 1, 2):
            loop.call_later(delay_s, fired.append, delay_s)
        await asyncio.sleep(4)
        return fired

    assert run_virtual(main()) == [1, 2, 3]
