"""What every launcher must do: real processes, real containers; for Kubernetes a double's API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jobs.launchers.deployed import worker_rights
from tests.jobs.launchers.worlds import (
    JOB,
    Containers,
    Pods,
    Processes,
    World,
    ended,
    launch_of,
    ready,
    until,
)
from tests.support.docker_engine import DockerEngine
from worker.jobs.ports import Launcher, WorkerState

CANARY = "canary-4f1d9c"
RUNNING = WorkerState(is_running=True)


@pytest.fixture(params=["subprocess", "docker", "kubernetes double"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    match request.param:
        case "subprocess":
            yield Processes(tmp_path)
        case "docker":
            engine: DockerEngine = request.getfixturevalue("engine")
            yield Containers(engine)
            engine.remove_containers()
        case _:
            pods = Pods(tmp_path, worker_rights())
            async with pods.serve():
                yield pods


@pytest.fixture
async def launcher(world: World) -> AsyncIterator[Launcher]:
    async with world.launcher() as launcher:
        yield launcher
        for job_id, attempt in await launcher.running():
            await launcher.kill(job_id, attempt)
            await ended(launcher, job_id, attempt)


async def test_a_launched_worker_reads_its_document_and_is_known_to_run(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(secret="x" * 1000))
    await ready(world)

    assert "ready 1000" in world.said(JOB, 1)
    assert await launcher.look(JOB, 1) == RUNNING
    assert list(await launcher.running()) == [(JOB, 1)]


async def test_a_worker_that_never_was_is_told_from_one_that_has_ended(launcher: Launcher) -> None:
    await launcher.launch(launch_of(exit=7))

    assert await ended(launcher) == WorkerState(is_running=False, exit_code=7)
    assert await launcher.look(JOB, 2) is None
    assert not await launcher.running()


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_a_document_of_nearly_the_greatest_size_arrives_whole(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(secret="x" * 1_000_000))
    await ready(world)

    assert "ready 1000000" in world.said(JOB, 1)


async def test_stopping_lets_the_worker_drain(world: World, launcher: Launcher) -> None:
    await launcher.launch(launch_of())
    await ready(world)
    await launcher.stop(JOB, 1)

    state = await ended(launcher)
    if world.tells_exit_code_of_stopped:
        assert state.exit_code == 0
        assert "drained" in world.said(JOB, 1)
    assert not await launcher.running()


async def test_stopping_again_does_not_cut_the_drain_short(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(drains_s=0.5))
    await ready(world)
    for _ in range(5):
        await launcher.stop(JOB, 1)
        await asyncio.sleep(0.05)
    await ended(launcher)

    assert "drained after 1 signals" in world.said(JOB, 1)


async def test_a_worker_that_does_not_listen_goes_on_until_it_is_killed(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(ignores_stop=True))
    await ready(world)
    await launcher.stop(JOB, 1)
    await launcher.stop(JOB, 1)
    await asyncio.sleep(0.3)
    assert await launcher.look(JOB, 1) == RUNNING

    await launcher.kill(JOB, 1)

    assert (await ended(launcher)).exit_code in (137, None)


async def test_launching_again_starts_nothing(world: World, launcher: Launcher) -> None:
    await launcher.launch(launch_of())
    await ready(world)
    await launcher.launch(launch_of(exit=3))
    assert await launcher.look(JOB, 1) == RUNNING

    await launcher.kill(JOB, 1)
    end = await ended(launcher)
    await launcher.launch(launch_of())

    assert await launcher.look(JOB, 1) == end
    assert world.said(JOB, 1).count("ready") <= 1


async def test_two_control_planes_at_once_start_one_worker(
    world: World, launcher: Launcher
) -> None:
    async with world.launcher() as other, asyncio.TaskGroup() as group:
        for each in (launcher, other, launcher, other):
            group.create_task(each.launch(launch_of()))
    await ready(world)

    assert list(await launcher.running()) == [(JOB, 1)]
    assert world.said(JOB, 1).count("ready") == 1


async def test_attempts_of_a_job_are_workers_of_their_own(world: World, launcher: Launcher) -> None:
    await launcher.launch(launch_of(attempt=1, exit=1))
    await ended(launcher, attempt=1)
    await launcher.launch(launch_of(attempt=2))
    await ready(world, attempt=2)

    assert await launcher.look(JOB, 1) == WorkerState(is_running=False, exit_code=1)
    assert list(await launcher.running()) == [(JOB, 2)]


async def test_a_running_worker_is_not_forgotten_and_an_ended_one_leaves_nothing(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of())
    await ready(world)
    await launcher.forget(JOB, 1)
    assert await launcher.look(JOB, 1) == RUNNING

    await launcher.kill(JOB, 1)
    await ended(launcher)
    await launcher.forget(JOB, 1)

    async def is_gone() -> bool:
        return await launcher.look(JOB, 1) is None

    await until(is_gone)
    await launcher.forget(JOB, 1)


async def test_another_control_plane_finds_the_workers_and_can_end_them(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of())
    await ready(world)

    async with world.launcher() as other:
        assert list(await other.running()) == [(JOB, 1)]
        assert await other.look(JOB, 1) == RUNNING
        await other.stop(JOB, 1)
        assert (await ended(other)).exit_code in (0, None)


async def test_nobody_who_is_not_there_can_be_ended_or_forgotten(launcher: Launcher) -> None:
    await launcher.stop(JOB, 1)
    await launcher.kill(JOB, 1)
    await launcher.forget(JOB, 1)

    assert await launcher.look(JOB, 1) is None


async def test_secrets_of_the_document_are_seen_by_nobody_else(
    world: World, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(secret=CANARY))
    await ready(world)

    seen = world.seen(JOB, 1)

    assert "MIXWORKER_LOG__LEVEL" in seen  # it does look where the environment is
    assert "stand_in.py" in seen
    assert CANARY not in seen


async def test_twenty_workers_run_beside_each_other_and_all_end(
    world: World, launcher: Launcher
) -> None:
    jobs = [f"{number:032x}" for number in range(20)]
    async with asyncio.TaskGroup() as group:
        for job_id in jobs:
            group.create_task(launcher.launch(launch_of(job_id)))
    for job_id in jobs:
        await ready(world, job_id)
    assert sorted(await launcher.running()) == [(job_id, 1) for job_id in jobs]

    for job_id in jobs:
        await launcher.stop(job_id, 1)
    for job_id in jobs:
        assert (await ended(launcher, job_id)).exit_code in (0, None)
    assert not await launcher.running()


async def test_what_dead_workers_left_is_delivered_and_is_no_worker(
    world: World, launcher: Launcher
) -> None:
    await launcher.recover()
    assert not await launcher.running()

    async def is_done() -> bool:
        return world.recoveries() >= 1

    await until(is_done)
    await launcher.recover()
