"""What threads used is known by their kind, even of those that have ended."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.engine.thread_cpu import ThreadCpu

BURN_S = 0.15


def burn() -> None:
    end_s = time.thread_time() + BURN_S
    while time.thread_time() < end_s:
        sum(range(1000))


def test_the_cpu_of_a_thread_that_has_ended_is_still_told():
    seen = ThreadCpu()
    with ThreadPoolExecutor(1, "grinder") as pool:
        pool.submit(burn).result()
        seen.look(0.0)

    told = seen.by_kind(process_s=100.0)

    assert BURN_S - 0.03 < told["grinder"] < BURN_S + 0.2
    assert told["main"] > 0


def test_threads_of_one_kind_are_told_together_and_the_rest_as_other():
    seen = ThreadCpu()
    with ThreadPoolExecutor(1, "twin") as one, ThreadPoolExecutor(1, "twin") as two:
        for pool in (one, two):
            pool.submit(burn).result()
        seen.look(0.0)

    told = seen.by_kind(process_s=1000.0)

    assert told["twin"] > 2 * BURN_S - 0.06
    assert sum(told.values()) > 999.9


def test_it_looks_once_a_second():
    seen = ThreadCpu()
    seen.look(10.0)
    with ThreadPoolExecutor(1, "late") as pool:
        pool.submit(burn).result()
        seen.look(10.9)
        assert "late" not in seen.by_kind(1.0)
        seen.look(11.1)
        assert "late" in seen.by_kind(1.0)


def test_the_system_shows_the_threads_by_name():
    named = threading.Event()
    done = threading.Event()
    numbers: list[int] = []

    def wait() -> None:
        numbers.append(threading.get_native_id())
        named.set()
        done.wait()

    with ThreadPoolExecutor(1, "painter") as pool:
        pool.submit(wait)
        named.wait()
        ThreadCpu().look(0.0)
        shown = Path(f"/proc/self/task/{numbers[0]}/comm").read_text().strip()
        done.set()

    assert shown == "painter"
