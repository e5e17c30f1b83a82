"""What only processes of this machine can show: deaths of their launcher, files, numbers, logs."""

import asyncio
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.launchers.rehearsal import rehearsal
from tests.jobs.launchers.worlds import JOB, Processes, ended, launch_of, ready, until
from worker.errors import LaunchError
from worker.jobs.launchers import subprocess as launcher_module
from worker.jobs.launchers import worker_file
from worker.jobs.launchers.subprocess import SubprocessLauncher
from worker.jobs.ports import Launch, Launcher, WorkerState

REPOSITORY = Path(__file__).parents[3]
NOTHING_STARTED = (
    "before the document is written",
    "in the middle of the document",
    "before spawn",
)
STARTED = ("after spawn, before it is announced", "after spawn", "after launch")


@pytest.fixture
def world(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.fixture
async def launcher(world: Processes) -> AsyncIterator[Launcher]:
    async with world.launcher() as launcher:
        yield launcher
        for job_id, attempt in await launcher.running():
            await launcher.kill(job_id, attempt)
            await ended(launcher, job_id, attempt)


def die_launching(
    directory: Path, point: str, document: str = "{}", jobs: Sequence[str] = (JOB,)
) -> None:
    """A control plane begins to launch workers and is killed at *point*."""
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("dying_launcher.py")),
            *(str(directory), point, document, *jobs),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", NOTHING_STARTED)
async def test_a_launcher_killed_before_it_starts_a_worker_leaves_none_and_no_obstacle(
    tmp_path: Path, world: Processes, launcher: Launcher, point: str
) -> None:
    die_launching(tmp_path, point)

    assert await launcher.look(JOB, 1) is None
    assert not await launcher.running()

    await launcher.launch(launch_of())
    await ready(world)
    assert await launcher.look(JOB, 1) == WorkerState(is_running=True)


@pytest.mark.parametrize("point", STARTED)
async def test_a_worker_whose_launcher_is_killed_is_known_at_once_and_can_be_stopped(
    tmp_path: Path, world: Processes, launcher: Launcher, point: str
) -> None:
    die_launching(tmp_path, point, json.dumps({"secret": "x" * 100}))

    assert await launcher.look(JOB, 1) == WorkerState(is_running=True)
    assert list(await launcher.running()) == [(JOB, 1)]
    await launcher.launch(launch_of(exit=3))
    await ready(world)
    assert "ready 100" in world.said(JOB, 1)

    await launcher.stop(JOB, 1)
    assert await ended(launcher) == WorkerState(is_running=False, exit_code=None)


async def test_twenty_workers_go_on_when_their_launcher_is_killed(
    tmp_path: Path, world: Processes, launcher: Launcher
) -> None:
    jobs = [f"{number:032x}" for number in range(20)]
    die_launching(tmp_path, "after launch", jobs=jobs)

    assert sorted(await launcher.running()) == [(job_id, 1) for job_id in jobs]
    for job_id in jobs:
        await ready(world, job_id)
        await launcher.stop(job_id, 1)
    for job_id in jobs:
        await ended(launcher, job_id)
        assert "drained" in world.said(job_id, 1)


async def test_the_exit_code_is_known_to_control_planes_that_did_not_start_the_worker(
    world: Processes, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(exit=5))
    await ended(launcher)

    async with world.launcher() as other:
        assert await other.look(JOB, 1) == WorkerState(is_running=False, exit_code=5)


async def test_a_worker_is_told_to_stop_once_by_however_many_control_planes(
    world: Processes, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(drains_s=0.3))
    await ready(world)
    async with world.launcher() as other:
        await launcher.stop(JOB, 1)
        await other.stop(JOB, 1)
    await ended(launcher)

    assert "drained after 1 signals" in world.said(JOB, 1)


async def test_a_dead_worker_is_reaped(world: Processes, launcher: Launcher) -> None:
    await launcher.launch(launch_of())
    await ready(world)
    pid = world.pid(JOB, 1)
    await launcher.kill(JOB, 1)
    assert (await ended(launcher)).exit_code == 137

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_process_that_got_the_number_of_a_dead_worker_is_not_hit(
    world: Processes, launcher: Launcher
) -> None:
    path = world.options.directory / "workers" / f"{JOB}.1"
    path.parent.mkdir(parents=True)
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        path.write_text(f"pid {bystander.pid}\n")
        assert await launcher.look(JOB, 1) == WorkerState(is_running=False)
        await launcher.kill(JOB, 1)
        await asyncio.sleep(0.1)

        assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


async def test_who_only_looks_is_not_in_the_way_of_a_launch(
    world: Processes, launcher: Launcher
) -> None:
    path = world.options.directory / "workers" / f"{JOB}.1"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        async with asyncio.TaskGroup() as group:
            group.create_task(launcher.launch(launch_of()))
            await asyncio.sleep(0.1)
            fcntl.flock(file, fcntl.LOCK_UN)
    await ready(world)


async def test_a_lock_that_never_becomes_a_worker_is_an_error(
    world: Processes, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_file, "_PATIENCE", 10)
    path = world.options.directory / "workers" / f"{JOB}.1"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LaunchError):
            await launcher.launch(launch_of())


async def test_a_worker_inherits_its_lock_and_nothing_else(
    world: Processes, launcher: Launcher
) -> None:
    await launcher.launch(launch_of("f" * 32))
    await launcher.launch(launch_of())
    await ready(world)
    folder = Path("/proc", str(world.pid(JOB, 1)))

    opened = sorted(str(path.readlink()) for path in (folder / "fd").iterdir())
    files = [name for name in opened if not name.startswith("pipe:")]

    log = str(world.options.directory / "logs" / f"{JOB}.1.log")
    assert files == sorted([log, log, str(world.options.directory / "workers" / f"{JOB}.1")])
    assert (folder / "stat").read_text().split()[5] == str(world.pid(JOB, 1))  # leads its session


async def test_files_are_for_their_owner_only(world: Processes, launcher: Launcher) -> None:
    await launcher.launch(launch_of())
    await ready(world)

    modes = {
        stat.filemode(path.stat().st_mode)
        for path in (world.options.directory, *world.options.directory.rglob("*"))
    }

    assert modes == {"drwx------", "-rw-------"}


async def test_a_long_log_begins_anew_and_the_worker_goes_on_writing(
    world: Processes, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_module, "LOG_BYTES", 50_000)
    await launcher.launch(launch_of(chatter=100))
    await ready(world)
    await launcher.running()
    assert world.said(JOB, 1) == ""

    await launcher.stop(JOB, 1)
    await ended(launcher)

    assert world.said(JOB, 1) == "drained after 1 signals\n"
    kept = world.options.directory / "logs" / f"{JOB}.1.log.1"
    assert "ready" in kept.read_text()
    assert stat.filemode(kept.stat().st_mode) == "-rw-------"


async def test_only_the_newest_logs_of_ended_workers_are_kept(
    world: Processes, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_module, "KEPT_LOGS", 2)
    for attempt in range(1, 6):
        await launcher.launch(launch_of(attempt=attempt, exit=0))
        await ended(launcher, attempt=attempt)

    logs = sorted(path.name for path in (world.options.directory / "logs").iterdir())

    assert logs == [f"{JOB}.{attempt}.log" for attempt in (3, 4, 5)]


async def test_recovery_runs_once_at_a_time_and_again_when_it_is_over(world: Processes) -> None:
    waiting = world.options.directory.parent / "go"
    world.options = replace(
        world.options,
        recover_command=(
            "/bin/sh",
            "-c",
            f"echo recovered; while [ ! -e {waiting} ]; do sleep 0.05; done",
        ),
    )
    async with world.launcher() as launcher, world.launcher() as other:
        await launcher.recover()
        await other.recover()
        await launcher.recover()

        async def has_begun() -> bool:
            return world.recoveries() > 0

        await until(has_begun)
        assert world.recoveries() == 1

        waiting.touch()

        async def runs_again() -> bool:
            await other.recover()
            return world.recoveries() > 1

        await until(runs_again)


async def test_a_command_that_is_not_there_is_an_ended_worker(world: Processes) -> None:
    launcher = SubprocessLauncher(replace(world.options, run_command=("/no/such/program",)))
    await launcher.launch(launch_of())

    assert (await ended(launcher)).exit_code == 127
    launcher.close()


async def test_a_directory_that_cannot_be_written_is_a_launch_error(world: Processes) -> None:
    world.options.directory.write_text("not a directory")
    async with world.launcher() as launcher:
        with pytest.raises(LaunchError, match="cannot be used"):
            await launcher.launch(launch_of())


async def test_the_real_worker_records_a_rehearsal(tmp_path: Path, world: Processes) -> None:
    launcher = SubprocessLauncher(
        replace(world.options, run_command=(sys.executable, "-m", "worker", "run", "-"))
    )
    document = rehearsal(str(tmp_path / "out"))
    await launcher.launch(Launch(JOB, 1, document, cores=1.0, memory_mb=512))

    assert await ended(launcher) == WorkerState(is_running=False, exit_code=0)
    assert list((tmp_path / "out").glob("*.mp4"))
    launcher.close()


async def test_half_a_document_is_refused_by_the_real_worker(
    tmp_path: Path, world: Processes
) -> None:
    launcher = SubprocessLauncher(
        replace(world.options, run_command=(sys.executable, "-m", "worker", "run", "-"))
    )
    for attempt, size in enumerate((0, -1), 1):
        half = rehearsal(str(tmp_path / "out"))[:size]
        await launcher.launch(Launch(JOB, attempt, half, cores=1.0, memory_mb=512))

        assert (await ended(launcher, attempt=attempt)).exit_code == 64
    assert not (tmp_path / "out").exists()
    launcher.close()
