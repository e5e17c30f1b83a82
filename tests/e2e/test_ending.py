"""How a worker ends: signals, idle rooms, kill -9; and what the file is like then."""

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.live import cast, document, live_room, worker
from tests.support.rehearse import people
from worker.testroom.server import serve_room

TWO = people(
    2, defaults="[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 200\n"
)


async def test_sigterm_drains_and_leaves_a_whole_recording(tmp_path):
    async with live_room(TWO) as url, worker(document(tmp_path, url)) as recorder:
        await recorder.recorded(3)
        recorder.signal(signal.SIGTERM)
        assert await asyncio.wait_for(recorder.ended(), 5) == 0

    assert recorder.result["reason"] == "signal"
    assert not recorder.result["aborted"]
    recording = recorder.recording
    assert recording.decode_errors() == ""
    assert recording.video.packets == recorder.result["video"]["frames"]
    assert recording.video.packets / 15 == pytest.approx(recorder.result["duration_s"], abs=0.07)
    assert recording.audio.duration_s == pytest.approx(recording.video.duration_s, abs=0.07)


async def test_a_second_sigterm_aborts_and_leaves_a_valid_file(tmp_path):
    job = document(tmp_path, "", playout_delay_ms=5000)
    async with live_room(TWO) as url:
        job["room"]["url"] = url
        async with worker(job) as recorder:
            await recorder.recorded(9)
            recorder.signal(signal.SIGTERM)
            # From here on the drain takes a playout delay of five seconds, on any machine.
            await recorder.reached("stopped")
            recorder.signal(signal.SIGTERM)
            assert await asyncio.wait_for(recorder.ended(), 3) == 130

    assert recorder.result["aborted"]
    recording = recorder.recording
    assert recording.decode_errors() == ""
    assert recording.video.duration_s > 2


async def test_a_worker_stops_when_the_room_was_empty_long_enough(tmp_path):
    async with serve_room() as address, AsyncExitStack() as present:
        await present.enter_async_context(cast(TWO, address.ws_url))
        job = document(tmp_path, address.ws_url, mix={"max_idle_time": 5})
        async with worker(job) as recorder:
            await recorder.recorded(2)
            await present.aclose()
            assert await asyncio.wait_for(recorder.ended(), 12) == 0

    result = recorder.result
    assert result["reason"] == "max_idle"
    last_left_s = max(participant["left_s"] for participant in result["participants"])
    assert result["duration_s"] - last_left_s == pytest.approx(5, abs=1)
    assert recorder.recording.decode_errors() == ""


async def kill_at(directory: Path, url: str, name: str, after_s: float) -> float:
    """Record, kill -9 *after_s* into the recording; what is missing of the file then, s."""
    job = document(directory, url, name)
    async with worker(job) as recorder:
        await recorder.recorded(0)
        started_s = asyncio.get_running_loop().time() - recorder.progress[0]["recorded_s"]
        await asyncio.sleep(after_s)
        recorder.process.kill()
        killed_s = asyncio.get_running_loop().time() - started_s
        await recorder.ended()
    recording = recorder.recording
    assert recording.decode_errors() == ""
    kept_s = min(recording.video.times_s[-1] + 1 / 15, recording.audio.times_s[-1])
    playout_delay_s = 0.6
    return killed_s - playout_delay_s - kept_s


async def kill_many(directory: Path, tries: int, seed: int) -> list[float]:
    """Kill that many workers at random moments, two at a time."""
    moments = random.Random(seed)
    losses: list[float] = []
    gate = asyncio.Semaphore(2)

    async def one(number: int, url: str) -> None:
        async with gate:
            after_s = moments.uniform(2.0, 6.0)
            losses.append(await kill_at(directory, url, f"try-{number}", after_s))

    async with live_room(TWO) as url, asyncio.TaskGroup() as group:
        for number in range(tries):
            group.create_task(one(number, url))
    return losses


@pytest.mark.timeout(240)
async def test_a_killed_workers_file_plays_and_lacks_at_most_a_second(tmp_path):
    losses_s = await kill_many(tmp_path, tries=10, seed=1)

    print(f"lost at most {max(losses_s):.2f} s, {sum(losses_s) / len(losses_s):.2f} s on average")
    assert len(losses_s) == 10
    assert max(losses_s) <= 1.0


@pytest.mark.soak
async def test_two_hundred_killed_workers(tmp_path):
    losses_s = await kill_many(tmp_path, tries=200, seed=2)

    assert max(losses_s) <= 1.0
