"""A control plane whose workers end with it, as in a container."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.control.worlds import FPS, World, gallery_started, world
from tests.support.control_plane import caller, control_plane, workers_of
from tests.support.delivering import of_type
from tests.support.look import Recording
from worker.app.draining import drain
from worker.errors import LaunchError


@pytest.mark.timeout(150)
async def test_workers_finish_before_it_ends_and_their_job_goes_on_with_the_next(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as around:
        async with control_plane(around.settings, "--drain") as plane:
            async with caller(plane.url, around.tenant) as call:
                path = await gallery_started(call, around.receiver)
                await asyncio.sleep(3)
            plane.process.send_signal(signal.SIGTERM)
            assert await plane.process.wait() == 0, plane.log
        assert workers_of(around.settings) == []
        before = await around.bucket.download(tmp_path / "before")
        assert not spooled(around, path.rpartition("/")[2])

        async with (
            control_plane(around.settings, "--drain") as second,
            caller(second.url, around.tenant) as call,
        ):
            async with asyncio.timeout(30):
                while not workers_of(around.settings):  # noqa: ASYNC110 - only asking tells
                    await asyncio.sleep(0.1)
            await asyncio.sleep(4)
            assert (await call("GET", path, status=200))["state"] == "RUNNING"
            await call("DELETE", path, status=204)
            async with asyncio.timeout(20):
                await around.receiver.heard_of("CLOUD_RECORD_SERVER_OVER")
        files = await around.bucket.download(tmp_path / "after")

    [first] = [Recording(file) for key, file in before.items() if key.endswith(".mp4")]
    assert first.decode_errors() == ""
    assert first.video.packets >= 2 * FPS
    completed = of_type([each.body for each in around.receiver.accepted], "RECORD_FILE_COMPLETE")
    assert len(completed) == 2 and {each["obs_object"] for each in completed} <= set(files)


def spooled(around: World, job_id: str) -> list[Path]:
    return list(Path(around.settings["MIXWORKER_SPOOL__DIRECTORY"]).glob(f"{job_id}*"))


class Stubborn:
    """A launcher whose workers do not end, or that does not answer."""

    def __init__(self, error: LaunchError | None = None) -> None:
        self.stopped: set[tuple[str, int]] = set()
        self._error = error

    async def running(self) -> list[tuple[str, int]]:
        if self._error is not None:
            raise self._error
        return [("a", 1), ("b", 2)]

    async def stop(self, job_id: str, attempt: int) -> None:
        self.stopped.add((job_id, attempt))


async def test_workers_that_do_not_end_are_waited_for_so_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    launcher = Stubborn()
    await drain(launcher, 0.01)  # type: ignore[arg-type]
    assert launcher.stopped == {("a", 1), ("b", 2)}
    assert "workers still run" in caplog.text


async def test_a_launcher_that_fails_does_not_keep_it(caplog: pytest.LogCaptureFixture) -> None:
    await drain(Stubborn(LaunchError("away")), 60)  # type: ignore[arg-type]
    assert "launcher failed" in caplog.text
