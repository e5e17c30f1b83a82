"""The control plane as an operator runs it: a real server, real workers, a room, S3, callbacks."""

import asyncio
import itertools
import os
import signal
from pathlib import Path

import pytest

from tests.control.worlds import FPS, ROOM, gallery, gallery_started, prepared, world
from tests.support.control_plane import (
    caller,
    control_plane,
    mixworker,
    reaches,
    workers_of,
)
from tests.support.delivering import of_type
from tests.support.look import Recording
from tests.support.seeing import Watch, read_tile
from worker.core.layout.geometry import Rect, Size
from worker.testroom.person import Sighting, recognise


@pytest.mark.timeout(150)
async def test_the_worked_example_from_a_token_to_a_file_and_three_callbacks(
    tmp_path: Path,
) -> None:
    async with (
        world(tmp_path) as around,
        control_plane(around.settings) as plane,
        caller(plane.url, around.tenant) as call,
    ):
        app_id, rule_id = await prepared(call, around.receiver)
        pane = {"id": 1, "user_id": "user-0", "x": 0, "y": 0, "width": 1, "height": 1, "zorder": 0}
        body = gallery(rule_id, layout_template="custom", layout_panes=[pane])
        jobs = f"/v2/apps/{app_id}/mix-stream-jobs"
        job = await call("POST", jobs, body, status=201)
        assert job["state"] == "INIT" and job["stop_time"] == "0001-01-01T00:00:00Z"
        path = f"{jobs}/{job['job_id']}"
        started = await reaches(call, path, "RUNNING")
        assert started["stream_name"] == f"m_{job['job_id']}_{ROOM}"
        await asyncio.sleep(4)
        pane["user_id"] = "user-1"
        changed = await call("PUT", path, {"mix_param": {"layout_panes": [pane]}}, status=200)
        assert changed["update_time"] > started["update_time"]
        await asyncio.sleep(4)
        await call("DELETE", path, status=204)
        stopped = await call("GET", path, status=200)
        assert (stopped["state"], stopped["stop_reason"]) == ("STOPPED", "TENANT_STOP")
        async with asyncio.timeout(20):
            await around.receiver.heard_of("CLOUD_RECORD_SERVER_OVER")
        files = await around.bucket.download(tmp_path / "bucket")
    bodies = [call_.body for call_ in around.receiver.accepted]
    assert [body["event_type"] for body in bodies] == [
        "RECORD_NEW_FILE_START",
        "RECORD_FILE_COMPLETE",
        "CLOUD_RECORD_SERVER_OVER",
    ]
    assert all(call_.signed for call_ in around.receiver.calls)
    assert {body["app_id"] for body in bodies} == {app_id}
    [complete] = of_type(bodies, "RECORD_FILE_COMPLETE")
    recording = Recording(files[complete["obs_object"]])
    assert recording.decode_errors() == ""
    assert 7 * FPS <= recording.video.packets <= 13 * FPS
    assert shown_at(recording, 2) == Sighting(0, is_screen=False)
    assert shown_at(recording, recording.video.packets / FPS - 2) == Sighting(1, is_screen=False)
    assert "planted" not in "\n".join(plane.log)


@pytest.mark.timeout(150)
async def test_a_killed_control_plane_loses_no_frame_and_finds_its_job_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as around:
        async with control_plane(around.settings) as plane:
            async with caller(plane.url, around.tenant) as call:
                path = await gallery_started(call, around.receiver)
                await asyncio.sleep(2)
            await plane.kill()
        port = plane.url.rpartition(":")[2]
        await asyncio.sleep(3)
        async with (
            control_plane(around.settings | {"MIXWORKER_API__PORT": port}) as second,
            caller(second.url, around.tenant) as call,
        ):
            assert (await call("GET", path, status=200))["state"] == "RUNNING"
            await asyncio.sleep(3)
            await call("DELETE", path, status=204)
            async with asyncio.timeout(20):
                await around.receiver.heard_of("CLOUD_RECORD_SERVER_OVER")
        files = await around.bucket.download(tmp_path / "bucket")
    [complete] = of_type([each.body for each in around.receiver.accepted], "RECORD_FILE_COMPLETE")
    recording = Recording(files[complete["obs_object"]])
    assert recording.decode_errors() == ""
    assert recording.video.packets >= 8 * FPS, "one file, from before the kill to after it"
    assert len(around.receiver.accepted) == 3


@pytest.mark.timeout(150)
async def test_a_killed_worker_is_replaced_and_what_it_had_recorded_is_delivered(
    tmp_path: Path,
) -> None:
    async with (
        world(tmp_path, MIXWORKER_CONTROL__OVER_EVENT="CLOUD_RECORD_OVER") as around,
        control_plane(around.settings) as plane,
        caller(plane.url, around.tenant) as call,
    ):
        path = await gallery_started(call, around.receiver)
        await asyncio.sleep(3)
        [pid] = workers_of(around.settings)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            await around.receiver.heard(2)
        await asyncio.sleep(3)
        assert (await call("GET", path, status=200))["state"] == "RUNNING"
        await call("DELETE", path, status=204)
        async with asyncio.timeout(40):
            await around.receiver.heard_of("CLOUD_RECORD_OVER")
        files = await around.bucket.download(tmp_path / "bucket")
    bodies = [each.body for each in around.receiver.accepted]
    completed = of_type(bodies, "RECORD_FILE_COMPLETE")
    assert len(completed) == 2 and len(of_type(bodies, "RECORD_NEW_FILE_START")) == 2
    assert bodies[-1]["event_type"] == "CLOUD_RECORD_OVER"
    frames = [Recording(files[each["obs_object"]]).video.packets for each in completed]
    # How much a kill costs is measured elsewhere; here the machine may be busy.
    assert min(frames) >= FPS


def shown_at(recording: Recording, at_s: float) -> Sighting | None:
    """Who fills the canvas."""
    [planes] = itertools.islice(recording.frames(start_s=at_s), 1)
    watch = Watch(Rect(0, 0, 640, 480), Size(320, 180))
    return recognise(read_tile(planes, watch).corners)


async def test_beyond_loopback_nothing_starts_without_tls(tmp_path: Path) -> None:
    settings = {
        "MIXWORKER_CONTROL__DIRECTORY": str(tmp_path / "control"),
        "MIXWORKER_API__HOST": "0.0.0.0",
        "MIXWORKER_API__PORT": "0",
    }
    with pytest.raises(AssertionError):
        await mixworker(settings, "serve")
