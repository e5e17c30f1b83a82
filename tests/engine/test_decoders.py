"""Decoder threads in real time: who goes first, and what a call that hangs costs the others."""

import asyncio
import subprocess
import sys
import threading

import pytest

from worker.engine.decoders import STUCK_LOOKS, DecoderThread, DecoderThreads


class Desk:
    """Submits to one thread, and keeps what came of it."""

    def __init__(self) -> None:
        self.thread = DecoderThread("decode_0")
        self.done: list[str] = []
        self.failed: list[str] = []
        self.given_up: list[str] = []
        self._news = asyncio.Event()

    def submit(self, name: str, work=lambda: None, cost_ns: int = 0) -> None:
        self.thread.submit(
            work,
            cost_ns=cost_ns,
            done=lambda _: self._tell(self.done, name),
            failed=lambda _: self._tell(self.failed, name),
            given_up=lambda: self.given_up.append(name),
        )

    async def begins(self, name: str, work) -> None:
        loop, began = asyncio.get_running_loop(), asyncio.Event()

        def begin() -> None:
            loop.call_soon_threadsafe(began.set)
            work()

        self.submit(name, begin)
        await began.wait()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.done) + len(self.failed) < count:
                self._news.clear()
                await self._news.wait()

    def _tell(self, told: list[str], name: str) -> None:
        told.append(name)
        self._news.set()


@pytest.fixture
async def desk():
    made = Desk()
    yield made
    made.thread.shutdown()


async def test_of_those_who_wait_the_cheapest_goes_first(desk):
    gate = threading.Event()
    await desk.begins("first", gate.wait)
    for name, cost_ns in (("dear", 30), ("cheap", 10), ("fair", 20), ("cheap too", 10)):
        desk.submit(name, cost_ns=cost_ns)
    gate.set()
    await desk.until(5)

    assert desk.done == ["first", "cheap", "cheap too", "fair", "dear"]


async def test_a_call_that_fails_is_told_and_the_next_one_goes_on(desk):
    desk.submit("bad", lambda: 1 // 0)
    desk.submit("good")
    await desk.until(2)

    assert (desk.failed, desk.done) == (["bad"], ["good"])


async def test_a_call_that_hangs_is_given_up_and_the_others_get_a_new_thread(desk):
    gate = threading.Event()
    threads = threading.active_count()
    await desk.begins("hangs", gate.wait)
    desk.submit("waits")
    for _ in range(STUCK_LOOKS - 1):
        desk.thread.look()
    assert desk.given_up == []

    desk.thread.look()
    await desk.until(1)

    assert desk.given_up == ["hangs"]
    assert desk.done == ["waits"]
    gate.set()
    desk.submit("later")
    await desk.until(2)
    assert desk.done == ["waits", "later"], "what hung is not reported once it comes back"
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        await asyncio.sleep(0.01)
    assert threading.active_count() <= threads, "its thread ended then"


async def test_what_waits_is_done_in_a_row_and_told_together(desk):
    hops = 0
    loop = asyncio.get_running_loop()
    hop = loop.run_in_executor

    def counted(*args):
        nonlocal hops
        hops += 1
        return hop(*args)

    loop.run_in_executor = counted
    for number in range(20):
        desk.submit(str(number))
    await desk.until(20)

    assert hops == 1


async def test_what_is_done_is_told_while_another_call_goes_on(desk):
    gate = threading.Event()
    desk.submit("short")
    desk.submit("long", gate.wait, cost_ns=1)
    await desk.until(1)
    assert desk.done == ["short"]

    desk.submit("new")
    gate.set()
    await desk.until(3)
    assert desk.done == ["short", "long", "new"]


async def test_a_report_that_fails_keeps_back_no_other(desk):
    loop = asyncio.get_running_loop()
    broken = []
    loop.set_exception_handler(lambda _, context: broken.append(context["exception"]))

    def fail(_):
        raise KeyError

    desk.thread.submit(lambda: None, cost_ns=0, done=fail, failed=fail, given_up=fail)
    desk.submit("fine")
    await desk.until(1)

    assert desk.done == ["fine"]
    assert [type(error) for error in broken] == [KeyError]


async def test_short_calls_in_a_row_are_not_one_that_hangs(desk):
    for number in range(3 * STUCK_LOOKS):
        desk.submit(str(number))
        desk.thread.look()
        await desk.until(number + 1)

    assert desk.given_up == []


async def test_sources_are_spread_over_the_threads_and_the_heavy_ones_share_one():
    threads = DecoderThreads(2)
    one, two, three = threads.next(), threads.next(), threads.next()

    assert one is three
    assert one is not two
    assert threads.heavy is threads.heavy
    assert threads.heavy not in (one, two)
    threads.shutdown()


def test_a_call_that_hangs_does_not_keep_the_process_alive():
    program = (
        "import time\n"
        "from worker.engine.daemon import DaemonThread\n"
        "DaemonThread('decode').submit(time.sleep, 1000)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0
