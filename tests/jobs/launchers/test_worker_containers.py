"""What only containers can show: what they may do, half-fed ones, the image of our Dockerfile."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.launchers.rehearsal import rehearsal
from tests.jobs.launchers.worlds import JOB, Containers, ended, launch_of, ready
from tests.support.docker_engine import DockerEngine
from worker.errors import LaunchError
from worker.jobs.launchers import docker as launcher_module
from worker.jobs.launchers.docker import (
    DockerOptions,
    Mount,
    docker_launcher,
    worker_container,
)
from worker.jobs.ports import Launch, Launcher, WorkerState

NAME = f"mixworker-{JOB}-1"


@pytest.fixture
def world(engine: DockerEngine) -> Iterator[Containers]:
    yield Containers(engine)
    engine.remove_containers()


@pytest.fixture
async def launcher(world: Containers) -> AsyncIterator[Launcher]:
    async with world.launcher() as launcher:
        yield launcher


def status(said: str) -> dict[str, str]:
    """The worker's own /proc/self/status."""
    pairs = (line.partition(":") for line in said.splitlines())
    return {key: value.strip() for key, _, value in pairs}


async def test_a_worker_has_no_rights_it_does_not_need(
    world: Containers, launcher: Launcher
) -> None:
    await launcher.launch(launch_of(writes=["/etc/x", "/usr/x", "/x", "/spool/x", "/tmp/x"]))
    await ready(world)
    said = world.said(JOB, 1)
    process = status(said)

    assert process["CapEff"] == process["CapBnd"] == "0" * 16
    assert process["NoNewPrivs"] == "1"
    assert process["Seccomp"] == "2"
    assert process["Uid"].split() == ["10001"] * 4
    assert process["Gid"].split() == ["10001"] * 4
    for refused in ("/etc/x", "/usr/x", "/x"):
        assert f"refused {refused} Read-only file system" in said
    assert "wrote /spool/x" in said
    assert "wrote /tmp/x" in said


async def test_the_engine_was_asked_for_the_limits_of_the_launch(
    world: Containers, launcher: Launcher
) -> None:
    await launcher.launch(launch_of())
    await ready(world)
    facts = world.inspected(JOB, 1)
    host = facts["HostConfig"]

    assert host["Memory"] == host["MemorySwap"] == 96 << 20
    assert host["CpuQuota"] / host["CpuPeriod"] == 1.0  # half a core, and as much again in bursts
    assert host["PidsLimit"] == 512
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["RestartPolicy"]["Name"] == "no"
    assert facts["Config"]["StopTimeout"] == 60


@pytest.mark.parametrize(("takes_mb", "exit_code"), [(20, 0), (300, 137)])
async def test_a_worker_that_takes_more_memory_than_it_may_is_ended(
    world: Containers, engine: DockerEngine, takes_mb: int, exit_code: int
) -> None:
    program = f"bytearray({takes_mb} << 20)"
    hungry = replace(world.options, run_command=(sys.executable, "-c", program))
    async with docker_launcher(hungry) as launcher:
        await launcher.launch(launch_of())  # with 96 MB

        assert (await ended(launcher)).exit_code == exit_code


async def test_a_worker_is_stopped_before_it_listens_to_signals(
    world: Containers, engine: DockerEngine
) -> None:
    deaf = replace(world.options, run_command=(sys.executable, "-c", "import time; time.sleep(60)"))
    async with docker_launcher(deaf) as launcher:
        await launcher.launch(launch_of())
        await launcher.stop(JOB, 1)

        assert (await ended(launcher)).exit_code == 143


async def test_a_launcher_that_dies_before_it_starts_its_container_is_no_obstacle(
    world: Containers, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = worker_container(launch_of(), world.options)
    await make_only(world.options, config)
    assert await launcher.look(JOB, 1) is None
    assert not await launcher.running()

    # As long as its launcher may still be at it, it is left alone.
    await launcher.launch(launch_of())
    assert await launcher.look(JOB, 1) is None

    monkeypatch.setattr(launcher_module, "STILLBORN_AFTER", launcher_module.STILLBORN_AFTER * 0)
    await launcher.launch(launch_of())
    await ready(world)
    assert list(await launcher.running()) == [(JOB, 1)]


@pytest.mark.parametrize("size", [0, 1, -1])
async def test_a_launcher_that_dies_while_it_feeds_leaves_a_worker_that_ends_by_itself(
    world: Containers, launcher: Launcher, size: int
) -> None:
    document = json.dumps({"secret": "x" * 1000}).encode()[:size]
    await feed_only(world.options, document)

    assert await ended(launcher) == WorkerState(is_running=False, exit_code=64)


async def make_only(options: DockerOptions, config: dict[str, Any]) -> None:
    async with launcher_module.Docker(options.url) as docker:
        await docker.containers.create(config, name=NAME)


async def feed_only(options: DockerOptions, document: bytes) -> None:
    """Another process does what a launch does, but dies by SIGKILL after so much of it."""
    program = f"""
import asyncio, os, signal
from aiodocker import Docker
async def main():
    docker = Docker({options.url!r})
    container = docker.containers.container({NAME!r})
    stream = await container.attach(stdin=True).__aenter__()
    await container.start()
    if {document!r}:
        await stream.write_in({document!r})
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    await make_only(options, worker_container(launch_of(), options))
    dying = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await dying.wait() == -9


async def test_an_image_that_is_not_there_is_a_launch_error_and_leaves_nothing(
    world: Containers, engine: DockerEngine
) -> None:
    async with docker_launcher(replace(world.options, image="nobody/nothing:1")) as launcher:
        with pytest.raises(LaunchError, match="No such image"):
            await launcher.launch(launch_of())
        assert await launcher.look(JOB, 1) is None


async def test_a_command_that_cannot_be_started_is_a_launch_error_and_leaves_nothing(
    world: Containers, engine: DockerEngine
) -> None:
    # A folder in the place of a file: refused only when the container is started.
    broken = replace(world.options, mounts=(*world.options.mounts, Mount("/tmp", "/etc/hosts")))
    async with docker_launcher(broken) as launcher:
        with pytest.raises(LaunchError):
            await launcher.launch(launch_of())

    assert not engine.docker("ps", "-aq")


async def test_an_engine_that_does_not_answer_is_a_launch_error(
    world: Containers, tmp_path: Path
) -> None:
    async with docker_launcher(replace(world.options, url=f"unix://{tmp_path}/no")) as launcher:
        with pytest.raises(LaunchError):
            await launcher.look(JOB, 1)


async def test_groups_on_one_engine_do_not_see_each_other(
    world: Containers, launcher: Launcher
) -> None:
    await launcher.launch(launch_of())
    await ready(world)

    async with docker_launcher(replace(world.options, group="other")) as other:
        assert not await other.running()
        assert await other.look(JOB, 1) is None


@pytest.mark.parametrize(
    ("image", "warns"), [("mixworker:1", True), ("mixworker@sha256:" + "0" * 64, False)]
)
async def test_an_image_that_may_change_is_warned_of(
    world: Containers, caplog: pytest.LogCaptureFixture, image: str, warns: bool
) -> None:
    async with docker_launcher(replace(world.options, image=image)):
        assert ("not named by digest" in caplog.text) is warns


async def test_the_real_worker_records_in_a_container_of_this_machines_files(
    world: Containers,
) -> None:
    real = replace(world.options, run_command=(sys.executable, "-m", "worker", "run", "-"))
    async with docker_launcher(real) as launcher:
        await launcher.launch(Launch(JOB, 1, rehearsal("/spool/out"), cores=2.0, memory_mb=512))

        assert (await ended(launcher)).exit_code == 0, world.said(JOB, 1)


@pytest.mark.soak
async def test_the_image_of_our_dockerfile_records_with_the_least_rights(
    world: Containers, engine: DockerEngine, our_image: str
) -> None:
    options = replace(
        world.options,
        image=our_image,
        run_command=("run", "-"),
        recover_command=("recover",),
        environment={},  # the image says where its programs are
        mounts=(Mount("recordings", "/recordings"), Mount("spool-of-our-image", "/spool")),
    )
    async with docker_launcher(options) as launcher:
        document = rehearsal("/recordings/out")
        await launcher.launch(Launch(JOB, 1, document, cores=2.0, memory_mb=512))
        assert (await ended(launcher)).exit_code == 0, world.said(JOB, 1)
        await launcher.recover()

    assert engine.docker("wait", "mixworker-recover").strip() == "0"
    look_inside = ("run", "--rm", "--network=none", "--entrypoint", "/bin/sh")
    volume = ("-v", "recordings:/recordings", our_image, "-c")
    assert ".mp4" in engine.docker(*look_inside, *volume, "ls /recordings/out")
    assert "10001" in engine.docker(*look_inside, *volume, "id -u")
    assert "test" not in engine.docker(*look_inside, *volume, "ls / /recordings")
    assert engine.docker("run", "--rm", "--network=none", our_image, "--version").startswith(
        "mixworker"
    )
