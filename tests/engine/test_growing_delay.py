"""A playout delay that grows while a job runs: later ticks, and nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tests.fakes.room import camera, frame, person
from tests.fakes.sink import FakeSink
from tests.support.jobs import SPEC, Run, run, stop_at
from worker.core.timing import NS_PER_MS
from worker.engine.job import Job
from worker.ports import ParticipantJoined, ParticipantLeft, TrackPublished

MS = NS_PER_MS
JOINED = [(0.0, ParticipantJoined(person("ada"))), (0.0, TrackPublished(camera("ada")))]


def ten_a_second(seconds: float, stalls_s: Sequence[float] = ()):
    """Frames of a camera, captured every tenth of a second. At each stall the network holds them
    back for 700 ms and then catches up, one frame each 50 ms.
    """
    script = []
    for number in range(1, round(seconds * 10)):
        captured_s = number / 10
        since_s = [captured_s - stall_s for stall_s in stalls_s if stall_s <= captured_s]
        arrival_s = max(captured_s, captured_s + 0.7 - since_s[-1] / 2 if since_s else 0.0)
        shown = replace(frame("ada", number, captured_s), arrival_ns=round(arrival_s * 1e9))
        script.append((arrival_s, shown))
    return script


def wants(delay_ms: int):
    """For `during`: from the first look on the room asks for this delay."""

    def plan(job: Job) -> None:
        job.room.wants_delay_ns = delay_ms * MS

    return plan


def both(*plans):
    def plan(job: Job) -> None:
        for each in plans:
            each(job)

    return plan


def shown(done: Run) -> list[int | None]:
    return [
        next(iter(canvas.pictures.values())).number if canvas.pictures else None
        for canvas in done.canvases
    ]


def test_ticks_come_later_and_no_frame_is_missing_repeated_or_late():
    sink = FakeSink()

    done = run(SPEC, JOINED + ten_a_second(6), [sink], during=both(wants(1350), stop_at(5.0)))

    assert done.job.delay.now_ns == 1350 * MS
    assert sink.video_pts == list(range(150))
    assert shown(done) == [None] * 3 + [n for n in range(1, 50) for _ in range(3)]
    counters = done.job.video.counters
    assert (counters.late, counters.duplicated) == (0, 0)
    assert done.kit.audio_encoders[0].samples == 5 * 48_000
    assert done.room.patience_ns == (1200 * MS, 1050 * MS)


def test_a_stop_still_drains_in_the_delay_there_is_by_then():
    done = run(SPEC, JOINED, [FakeSink()], during=both(wants(1350), stop_at(3.0)))

    assert 4.34 <= done.ended_s <= 4.65


def test_after_the_stop_it_grows_no_more():
    def ask_late(job: Job) -> None:
        def ask() -> None:
            job.room.wants_delay_ns = 1600 * MS

        asyncio.get_running_loop().call_later(3.01, ask)

    done = run(SPEC, JOINED, [FakeSink()], during=both(ask_late, stop_at(3.0)))

    assert done.job.delay.now_ns == 600 * MS
    assert 3.59 <= done.ended_s <= 3.9


def test_a_second_stall_like_the_first_costs_no_frame():
    """600 ms of delay cannot hide 700 ms; by the second stall there is more."""
    stalled = ten_a_second(8, [2.0, 5.0])

    done = run(SPEC, JOINED + stalled, [FakeSink()], during=stop_at(7.0))

    assert done.job.delay.now_ns == 850 * MS
    every_frame = [n for n in range(10, 70) for _ in range(3)]
    numbers = shown(done)[30:]
    assert numbers[: 3 * 10] == every_frame[: 3 * 10]
    assert numbers[3 * 10 : 3 * 20] != every_frame[3 * 10 : 3 * 20], "the first was seen"
    assert numbers[3 * 20 :] == every_frame[3 * 20 :]


def test_events_of_the_room_stay_with_the_pictures():
    left = [(4.0, ParticipantLeft(person("ada").participant_id))]
    script = sorted([*JOINED, *ten_a_second(4), *left], key=lambda entry: entry[0])

    done = run(SPEC, script, [FakeSink()], during=both(wants(1350), stop_at(5.0)))

    assert [bool(canvas.scene.tiles) for canvas in done.canvases] == [True] * 120 + [False] * 30


def test_it_stops_growing_at_the_operators_limit():
    done = run(SPEC, JOINED, [FakeSink()], during=both(wants(9000), stop_at(3.0)))

    assert done.job.delay.now_ns == 1600 * MS
