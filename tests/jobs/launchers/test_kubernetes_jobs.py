"""What only the Kubernetes launcher has: half-made Jobs, rights, quotas. The API is a double."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.launchers.deployed import worker_rights
from tests.jobs.launchers.kubernetes_double import Refused
from tests.jobs.launchers.worlds import JOB, Pods, ended, launch_of, ready, until
from worker.errors import LaunchError, LaunchRefused
from worker.jobs.launchers.kubernetes import kubernetes_launcher
from worker.jobs.ports import Launcher, WorkerState


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Pods]:
    pods = Pods(tmp_path, worker_rights())
    async with pods.serve():
        yield pods


@pytest.fixture
async def launcher(world: Pods) -> AsyncIterator[Launcher]:
    async with world.launcher() as launcher:
        yield launcher


async def cut_short(world: Pods, resource: str, verb: str) -> None:
    """A launch by somebody who gets no further than before *verb* on *resource*."""
    rules = world.double.rules
    world.double.rules = [
        {**rule, "verbs": [each for each in rule["verbs"] if each != verb]}
        if resource in rule["resources"]
        else rule
        for rule in rules
    ]
    async with world.launcher() as dying:
        with pytest.raises(LaunchError):
            await dying.launch(launch_of())
    world.double.rules = rules


@pytest.mark.parametrize(("resource", "verb"), [("secrets", "create"), ("jobs", "patch")])
async def test_a_job_that_was_half_made_runs_nothing_and_is_completed_by_the_next(
    world: Pods, launcher: Launcher, resource: str, verb: str
) -> None:
    await cut_short(world, resource, verb)
    assert JOB in next(iter(world.double.jobs))
    assert await launcher.look(JOB, 1) is None
    assert not await launcher.running()

    await launcher.launch(launch_of())
    await ready(world)
    assert list(await launcher.running()) == [(JOB, 1)]


async def test_a_half_made_job_that_was_stopped_is_not_started_any_more(
    world: Pods, launcher: Launcher
) -> None:
    await cut_short(world, "jobs", "patch")
    await launcher.stop(JOB, 1)
    await launcher.launch(launch_of())

    assert await launcher.look(JOB, 1) == WorkerState(is_running=False)
    assert not world.double.pods


async def test_forgetting_takes_the_secret_along(world: Pods, launcher: Launcher) -> None:
    await launcher.launch(launch_of(exit=0))
    assert (await ended(launcher)).exit_code == 0
    assert len(world.double.secrets) == 1
    await launcher.forget(JOB, 1)

    assert not world.double.secrets
    assert not world.double.jobs
    assert not world.double.pods


async def test_the_role_grants_what_is_used_and_nothing_else(
    world: Pods, launcher: Launcher
) -> None:
    # Or it might be gone before its pod can be deleted.
    await launcher.launch(launch_of(ignores_stop=True))
    await launcher.launch(launch_of(ignores_stop=True))
    await ready(world)
    await launcher.running()
    await launcher.kill(JOB, 1)
    await ended(launcher)
    await launcher.forget(JOB, 1)
    await launcher.recover()

    granted = {
        (verb, resource)
        for rule in worker_rights()
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert world.double.used == granted


async def test_a_quota_that_is_used_up_is_no_room_for_another_worker(
    world: Pods, launcher: Launcher
) -> None:
    world.double.refusal = Refused(403, "jobs is forbidden: exceeded quota: team")

    with pytest.raises(LaunchRefused):
        await launcher.launch(launch_of())


async def test_errors_of_secrets_are_not_repeated(world: Pods, launcher: Launcher) -> None:
    await cut_short(world, "secrets", "create")
    world.double.rules = [rule for rule in world.double.rules if "secrets" not in rule["resources"]]

    with pytest.raises(LaunchError) as raised:
        await launcher.launch(launch_of())

    assert "secrets" not in str(raised.value)
    assert "403" in str(raised.value)


async def test_the_library_does_not_log_secrets_at_debug_level(
    world: Pods, launcher: Launcher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await launcher.launch(launch_of(secret="canary"))
    await ready(world)

    document = next(iter(world.double.secrets.values()))["data"]["document"]
    assert document not in caplog.text


async def test_no_recovery_without_a_spool_that_outlives_its_worker(world: Pods) -> None:
    async with kubernetes_launcher(replace(world.options, spool_claim="")) as launcher:
        await launcher.recover()

    assert not world.double.jobs


async def test_one_recovery_at_a_time(world: Pods, launcher: Launcher) -> None:
    await launcher.recover()
    await launcher.recover()

    assert list(world.double.jobs) == ["mixworker-recover"]

    async def is_done() -> bool:
        return world.recoveries() == 1

    await until(is_done)


async def test_looking_at_each_of_many_workers_asks_for_all_of_them_once(world: Pods) -> None:
    async with kubernetes_launcher(replace(world.options, fresh_s=60)) as launcher:
        for number in range(5):
            await launcher.launch(launch_of(f"{number:032x}"))
        before = world.double.requests
        for number in range(5):
            assert await launcher.look(f"{number:032x}", 1) == WorkerState(is_running=True)
        await launcher.running()

    assert world.double.requests - before == 2


async def test_a_cluster_that_does_not_answer_is_a_launch_error(tmp_path: Path) -> None:
    world = Pods(tmp_path, worker_rights())
    async with world.serve():
        pass
    async with world.launcher() as launcher:
        with pytest.raises(LaunchError, match="does not answer"):
            await launcher.launch(launch_of())


async def test_no_configuration_is_a_launch_error(world: Pods) -> None:
    for options in (replace(world.options, kubeconfig=""), replace(world.options, kubeconfig="/x")):
        with pytest.raises(LaunchError):
            async with kubernetes_launcher(options):
                pass
