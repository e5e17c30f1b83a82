"""A whole job that records and pushes at once; what servers do, the recording never notices."""

import asyncio
import json
import resource
from contextlib import AsyncExitStack

import pytest

from tests.support.container import decode_errors
from tests.support.look import Recording
from tests.support.loop_pauses import LoopPauses
from tests.support.rehearse import people
from tests.support.rtmp import black_hole, free_port, rtmp_server
from worker.api.wire.job_document import parse_job_document
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions
from worker.engine.report import report
from worker.media.kit import PyavKit
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.sinks.recording import RecordingSink
from worker.sinks.rtmp import RtmpSink
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.scenario_file import parse_scenario

FPS = 15
SECRET = "k3y-0f-the-stream"  # noqa: S105
LONGEST_PAUSE_S = 0.1
OUTAGE_S = 600
ATTEMPTS = 3
"""A neighbour of this machine can stall both cores; a loop that blocks does so each time."""
TWO = people(
    2, defaults="[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 200\n"
)


async def run_job(directory, seconds, urls, during=None, *, reach="127.0.0.0/8"):
    """Record in real time beside pushes to *urls*; the job, and its loop's longest pause, s."""
    document = {
        "room": {"kind": "rehearsal", "scenario": TWO},
        "mix_param": {
            "room_id": "rehearsal",
            "encode_template": "480x360_15_320",
            "layout_template": "nine_grids_view",
        },
        "output": {"directory": str(directory), "name": "recording"},
        "max_duration_s": seconds,
    }
    spec = parse_job_document(json.dumps(document))
    clock, kit = LoopClock(asyncio.get_running_loop()), PyavKit()
    dialer, tls = Dialer(Reach.parse([reach])), verified_tls()
    pushes = [
        RtmpSink(url, name=f"rtmp-{number}", clock=clock, dialer=dialer, tls=tls)
        for number, url in enumerate(urls, 1)
    ]
    job = Job(
        spec,
        room=RehearsalRoom(parse_scenario(TWO), clock),
        kit=kit,
        clock=clock,
        sinks=[RecordingSink(directory / "recording.mp4", kit.mp4), *pushes],
        options=JobOptions(connect_timeout_s=10),
    )
    pauses = LoopPauses()
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(pauses.run())
        if during is not None:
            acting = tasks.create_task(during())
        await job.run()
        watcher.cancel()
        if during is not None:
            acting.cancel()
    print(
        f"longest pause of the event loop {pauses.longest_s * 1000:.0f} ms, "
        f"of a search for garbage {pauses.longest_garbage_s * 1000:.0f} ms"
    )
    return job, pauses.longest_s


async def beside_all_kinds_of_servers(directory, seconds):
    """One job with a server in good health and four others; its job, pause and received file."""
    async with AsyncExitStack() as world:
        server = await world.enter_async_context(rtmp_server(directory / "server"))
        hole = await world.enter_async_context(black_hole())
        urls = [
            server.url(SECRET),
            f"rtmp://127.0.0.1:{free_port()}/live/{SECRET}",
            f"rtmp://127.0.0.1:{hole.port}/live/{SECRET}",
            server.url(SECRET, app="denied"),
            f"rtmp://10.1.2.3/live/{SECRET}",
        ]
        job, pause_s = await run_job(directory, seconds, urls)
        await server.written()
        (received,) = server.received(SECRET)
    return job, pause_s, received


async def test_servers_that_are_dead_deaf_or_unwilling_cost_the_recording_nothing(tmp_path):
    seconds = 6
    for attempt in range(ATTEMPTS):
        directory = tmp_path / f"try-{attempt}"
        job, pause_s, received = await beside_all_kinds_of_servers(directory, seconds)
        if pause_s <= LONGEST_PAUSE_S:
            break

    assert pause_s <= LONGEST_PAUSE_S
    recording = Recording(directory / "recording.mp4")
    assert recording.decode_errors() == ""
    assert recording.video.packets == seconds * FPS
    pushed = Recording(received)
    assert pushed.decode_errors() == ""
    assert pushed.video.packets == seconds * FPS
    assert pushed.video.times_s == pytest.approx(
        [k / FPS for k in range(seconds * FPS)], abs=0.0021
    )
    result = report(job)
    errors = {output["name"]: output["error"] for output in result["outputs"]}
    assert errors == {
        "mp4": None,
        "rtmp-1": None,
        "rtmp-2": "cannot connect: Connection refused",
        "rtmp-3": "the server did not answer the handshake",
        "rtmp-4": "the server closed the connection",
        "rtmp-5": "the host is at an address that may not be called",
    }
    assert SECRET not in json.dumps(result)


async def test_an_aborted_job_lets_go_of_its_servers_at_once(tmp_path):
    async with rtmp_server(tmp_path / "server") as server, black_hole() as hole:
        urls = [server.url(SECRET), f"rtmp://127.0.0.1:{hole.port}/live/{SECRET}"]
        running = asyncio.create_task(run_job(tmp_path, 60, urls))
        await asyncio.sleep(3)
        asked_s = asyncio.get_running_loop().time()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.get_running_loop().time() - asked_s < 1
        await server.written()
        (received,) = server.received(SECRET)

    assert decode_errors(received) == ""
    assert Recording(tmp_path / "recording.mp4").decode_errors() == ""


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("outage", ["killed", "frozen"])
async def test_ten_minutes_without_a_server_cost_nothing_but_the_push(tmp_path, outage):
    gone_s = 10
    back_s = gone_s + OUTAGE_S
    seconds = back_s + 30
    returned_s = 0.0
    async with (
        rtmp_server(tmp_path / "server") as server,
        rtmp_server(tmp_path / "other") as other,
        black_hole() as hole,
    ):

        async def during() -> None:
            nonlocal returned_s
            await asyncio.sleep(gone_s)
            await server.kill() if outage == "killed" else server.freeze()
            await asyncio.sleep(back_s - gone_s)
            await server.start() if outage == "killed" else server.thaw()
            returned_s = asyncio.get_running_loop().time()

        urls = [
            server.url(SECRET),
            f"rtmp://127.0.0.1:{hole.port}/live/{SECRET}",
            other.url(SECRET, app="denied"),
        ]
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        job, pause_s = await run_job(tmp_path, seconds, urls, during)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        await server.written()
        received = server.received(SECRET)

    print(f"{outage}: {grown_kb} kB more in {seconds} s")
    recording = Recording(tmp_path / "recording.mp4")
    assert recording.video.packets == seconds * FPS
    assert pause_s <= LONGEST_PAUSE_S
    after = Recording(received[-1])
    assert after.decode_errors() == ""
    assert after.video.duration_s >= seconds - back_s - 5
    assert grown_kb < 100_000
    outputs = report(job)["outputs"]
    assert outputs[1]["error"] is None
    assert outputs[3]["attempts"] <= 12 + OUTAGE_S / 48
