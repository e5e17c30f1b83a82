"""Events in order, at least once, in virtual time (fault table, C1, C4, C5, C6)."""

import asyncio
import json
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.record_events import completed, over, started, story
from worker.api.wire.callback import CallbackFacts, callback_body
from worker.core.spec import CallbackEvent, CallbackSpec
from worker.engine.clock import LoopClock
from worker.notify.event_store import StoredEvent
from worker.notify.outbox import Outbox, open_outbox
from worker.notify.post import Answer
from worker.notify.target import CallbackTarget, keep_target, kept_target
from worker.ports import RecordEvent
from worker.testroom.virtual_loop import run_virtual

HOUR_S = 3600
EPOCH_UNIX_S = 1_767_323_045.0
BODY = partial(callback_body, facts=CallbackFacts("app", "room", "stream"))


class Inline(Executor):
    """Calls at once."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Line:
    """A way to a receiver that answers as `plan` says; its time is the loop's."""

    def __init__(self, plan: Callable[[float], Answer | int] = lambda now_s: 200) -> None:
        self.plan = plan
        self.tried: list[tuple[float, StoredEvent]] = []
        self.accepted: list[StoredEvent] = []

    async def __call__(self, event: StoredEvent) -> Answer:
        await asyncio.sleep(0.01)
        now_s = asyncio.get_running_loop().time()
        self.tried.append((now_s, event))
        answer = self.plan(now_s)
        if isinstance(answer, int):
            answer = Answer(answer, f"HTTP {answer}")
        if answer.status == 200:
            self.accepted.append(event)
        return answer

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kind and job of what was accepted, in order."""
        bodies = [json.loads(event.body) for event in self.accepted]
        return [(body["event_type"], body.get("obs_object", "")) for body in bodies]


@asynccontextmanager
async def outbox(
    directory: Path,
    line: Line,
    *,
    seed: int = 1,
    wall: Callable[[], float] | None = None,
    events: frozenset[CallbackEvent] = frozenset(CallbackEvent),
) -> AsyncIterator[Outbox]:
    """An outbox that is delivering while inside."""
    loop = asyncio.get_running_loop()
    async with open_outbox(
        directory,
        events=events,
        body=BODY,
        post=line,
        clock=LoopClock(loop),
        unix_s=wall or (lambda: EPOCH_UNIX_S + loop.time()),
        rng=Random(seed),
    ) as opened:
        running = loop.create_task(opened.run())
        try:
            yield opened
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled(), running.exception()


async def tell(directory: Path, line: Line, events: Sequence[RecordEvent], for_s: float) -> None:
    """Publish *events* at once and let so much time pass."""
    async with outbox(directory, line) as box:
        for event in events:
            await box.publish(event)
        await asyncio.sleep(for_s)


def fails_until(until_s: float, status: int = 503) -> Callable[[float], int]:
    return lambda now_s: 200 if now_s >= until_s else status


def test_events_arrive_in_the_order_in_which_they_were_published(tmp_path):
    line = Line()

    run_virtual(tell(tmp_path, line, story(2), for_s=1))

    assert line.told == [
        ("RECORD_NEW_FILE_START", ""),
        ("RECORD_FILE_COMPLETE", "app/job/0.mp4"),
        ("RECORD_NEW_FILE_START", ""),
        ("RECORD_FILE_COMPLETE", "app/job/1.mp4"),
        ("CLOUD_RECORD_SERVER_OVER", ""),
    ]


@pytest.mark.parametrize("down_s", [3, 20, 51, 111, 400, 899])
def test_a_receiver_that_was_down_hears_everything_soon_after_it_is_back(tmp_path, down_s):
    line = Line(fails_until(down_s))

    run_virtual(tell(tmp_path, line, story(3), for_s=1200))

    assert len(line.accepted) == 7
    assert len(line.tried) <= 7 + 4 + down_s / 45
    delivered_s = [at_s for at_s, event in line.tried if event in line.accepted]
    assert delivered_s[-1] <= down_s + 75


def test_an_event_is_tried_for_three_days_and_then_makes_room(tmp_path, caplog):
    line = Line(lambda now_s: 500 if now_s < 79 * HOUR_S else 200)

    run_virtual(tell(tmp_path, line, [started(), completed()], for_s=82 * HOUR_S))

    tries_s = [at_s for at_s, event in line.tried if event.number == 1]
    assert 76 * HOUR_S <= tries_s[-1] < 79 * HOUR_S
    assert len(tries_s) < 80
    assert len(list(tmp_path.glob("*1-*.given-up"))) == 1
    assert [event.number for event in line.accepted] == [2]
    assert sum("given up" in record.message for record in caplog.records) == 1


def test_an_event_that_was_given_up_can_be_sent_again_by_renaming_its_file(tmp_path):
    run_virtual(tell(tmp_path, Line(lambda _: 500), [started(), over()], for_s=160 * HOUR_S))
    for path in tmp_path.glob("*.given-up"):
        path.rename(path.with_suffix(".pending"))
    line = Line()

    run_virtual(tell(tmp_path, line, [], for_s=10))

    assert [kind for kind, _ in line.told] == ["RECORD_NEW_FILE_START", "CLOUD_RECORD_SERVER_OVER"]


def test_a_receiver_that_is_gone_is_left_alone_for_good(tmp_path, caplog):
    line = Line(lambda _: 410)

    run_virtual(tell(tmp_path, line, story(2), for_s=100 * HOUR_S))
    run_virtual(tell(tmp_path, line, [started(9)], for_s=100 * HOUR_S))

    assert len(line.tried) == 1
    assert len(list(tmp_path.glob("*.pending"))) == 6
    assert "gone" in caplog.text


@pytest.mark.parametrize(
    ("told_s", "waited_s"), [(7.0, 7), (1800.0, 1800), (3600.0, 3600), (86_400.0, 3600), (-9.0, 1)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_time_gets_exactly_that(tmp_path, status, told_s, waited_s):
    line = Line(lambda now_s: Answer(status, "", told_s) if now_s < 0.5 else 200)

    run_virtual(tell(tmp_path, line, [started()], for_s=2 * HOUR_S))

    (first_s, _), (second_s, _) = line.tried
    assert second_s - first_s == pytest.approx(waited_s + 0.01, abs=0.001)


@pytest.mark.parametrize("status", [201, 204, 302, 404])
def test_an_event_is_sent_again_until_the_answer_is_200(tmp_path, status):
    line = Line(fails_until(4, status))

    run_virtual(tell(tmp_path, line, [started()], for_s=30))

    assert [round(at_s) for at_s, _ in line.tried] in ([0, 1, 5], [0, 1, 6], [0, 1, 7])
    assert len(line.accepted) == 1


def test_one_job_with_a_dead_receiver_does_not_hold_up_another(tmp_path):
    dead, alive = Line(lambda _: 500), Line()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(tell(tmp_path / "dead", dead, story(5, "dead"), for_s=600))
            group.create_task(tell(tmp_path / "alive", alive, story(5, "alive"), for_s=600))

    run_virtual(both())

    assert len(alive.accepted) == 11
    assert alive.tried[-1][0] < 1
    assert {event.number for _, event in dead.tried} == {1}


def test_what_a_process_leaves_the_next_one_delivers(tmp_path):
    dead, line = Line(lambda _: 500), Line()

    run_virtual(tell(tmp_path, dead, story(2), for_s=100))
    run_virtual(tell(tmp_path, line, [], for_s=1))

    assert [event.number for event in line.accepted] == [1, 2, 3, 4, 5]
    assert line.accepted[0] == dead.tried[0][1]


def test_who_takes_over_tries_at_once_and_then_by_age(tmp_path):
    run_virtual(tell(tmp_path, Line(lambda _: 500), [started()], for_s=1))
    line = Line(lambda _: 500)

    async def two_hours_later() -> None:
        loop = asyncio.get_running_loop()
        wall = EPOCH_UNIX_S + 2 * HOUR_S
        async with outbox(tmp_path, line, wall=lambda: wall + loop.time()):
            await asyncio.sleep(1500)

    run_virtual(two_hours_later())

    first_s, second_s, third_s = (at_s for at_s, _ in line.tried[:3])
    assert first_s < 1
    for wait_s in (second_s - first_s, third_s - second_s):
        assert 480 <= wait_s <= 721


def test_a_wall_clock_that_is_set_does_not_change_the_waits(tmp_path):
    line = Line(fails_until(200))

    async def clock_is_set() -> None:
        loop = asyncio.get_running_loop()

        def wall() -> float:
            return EPOCH_UNIX_S + loop.time() + (100 * HOUR_S if loop.time() > 10 else 0)

        async with outbox(tmp_path, line, wall=wall) as box:
            await box.publish(started())
            await asyncio.sleep(300)

    run_virtual(clock_is_set())

    assert len(line.accepted) == 1


def test_an_event_published_again_is_the_same_event(tmp_path):
    line = Line()

    run_virtual(tell(tmp_path, line, [started(), completed(), completed(), over()], for_s=1))
    run_virtual(tell(tmp_path, line, [completed(), over(), started(2)], for_s=1))

    assert len(line.accepted) == 4
    assert len({event.event_id for event in line.accepted}) == 4


def test_a_receiver_hears_only_what_it_wants(tmp_path):
    line = Line()

    async def tell_wanted() -> bool:
        wanted = frozenset({CallbackEvent.FILE_COMPLETED})
        async with outbox(tmp_path, line, events=wanted) as box:
            for event in story(2):
                await box.publish(event)
            await asyncio.sleep(1)
            return box.is_over

    assert run_virtual(tell_wanted())
    assert {kind for kind, _ in line.told} == {"RECORD_FILE_COMPLETE"}
    assert len(line.told) == 2


def test_an_event_is_on_disk_before_publish_returns(tmp_path):
    async def publish() -> int:
        async with outbox(tmp_path, Line(lambda _: 500)) as box:
            await box.publish(started())
            return len(list(tmp_path.glob("*.pending")))

    assert run_virtual(publish()) == 1


def test_settling_waits_for_what_is_due_and_not_for_what_is_not(tmp_path):
    names = iter("abcde")

    async def settled(line: Line, deadline_s: float) -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        async with outbox(tmp_path / next(names), line) as box:
            for event in story(20):
                await box.publish(event)
            begun_s = loop.time()
            await box.settle(round((begun_s + deadline_s) * 1e9))
            return loop.time() - begun_s, box.pending

    assert run_virtual(settled(Line(), 5)) == (pytest.approx(0.42, abs=0.05), 0)
    assert run_virtual(settled(Line(), 0.2)) == (pytest.approx(0.2, abs=0.02), 41 - 19)
    back_soon = run_virtual(settled(Line(fails_until(5)), 30))
    assert back_soon[1] == 0
    took_s, left = run_virtual(settled(Line(lambda _: 500), 10))
    assert took_s < 10
    assert left == 41
    assert run_virtual(settled(Line(lambda _: 410), 10))[0] < 0.1


def test_a_target_is_kept_until_the_job_is_over_and_everything_was_sent(tmp_path):
    target = CallbackTarget(
        CallbackSpec("http://receiver.example/", "key", frozenset({CallbackEvent.RECORDING_OVER})),
        {"app_id": "app"},
    )
    keep_target(tmp_path, target)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600

    run_virtual(tell(tmp_path, Line(), [started(), completed()], for_s=1))
    assert kept_target(tmp_path) == target
    run_virtual(tell(tmp_path, Line(lambda _: 500), [over()], for_s=1))
    assert kept_target(tmp_path) == target
    run_virtual(tell(tmp_path, Line(), [over()], for_s=1))
    assert kept_target(tmp_path) is None


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is such a thing."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as directory:
        yield Path(directory)


def test_ten_thousand_events_and_a_receiver_that_fails_half_of_the_time(
    memory_disk, monkeypatch, caplog
):
    """Four jobs, their processes replaced again and again: nothing lost, nothing out of order."""
    # Durability is tested elsewhere; here syncs, threads and log lines would only cost time.
    caplog.set_level(logging.CRITICAL, "worker.notify")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("worker.notify.outbox.ThreadPoolExecutor", Inline)
    jobs, files = ("a", "b", "c", "d"), 1250
    lines = {job: Line(_dice(Random(job))) for job in jobs}

    async def live(job: str) -> None:
        """Publishes a part, is cut off at any moment, and its successor publishes a part again."""
        rng, line, events = Random(f"life of {job}"), lines[job], story(files, job)
        done = 0
        while done < len(events):
            part = rng.randrange(1, 400)
            async with outbox(memory_disk / job, line, seed=rng.randrange(99)) as box:
                for event in events[max(0, done - 3) : done + part]:
                    await box.publish(event)
                await asyncio.sleep(rng.uniform(0, 3000))
            done += part
        async with outbox(memory_disk / job, line) as box:
            await box.settle(round(1e6 * HOUR_S * 1e9))

    async def all_jobs() -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(live(job))

    run_virtual(all_jobs())

    inversions = lost = 0
    duplicates: dict[str, int] = defaultdict(int)
    for job in jobs:
        bodies = [BODY(event) for event in story(files, job)]
        first_seen = list(dict.fromkeys(event.event_id for event in lines[job].accepted))
        by_id = {event.event_id: event.body for event in lines[job].accepted}
        told = [by_id[event_id] for event_id in first_seen]
        lost += len(bodies) - len(told)
        inversions += told != bodies
        duplicates[job] = len(lines[job].accepted) - len(told)
        assert len(lines[job].tried) > 1.7 * len(bodies)
    assert (inversions, lost) == (0, 0)
    assert sum(len(line.accepted) for line in lines.values()) >= 10_000
    assert sum(duplicates.values()) < 50


def _dice(rng: Random) -> Callable[[float], int]:
    return lambda _: 200 if rng.random() < 0.5 else 500
