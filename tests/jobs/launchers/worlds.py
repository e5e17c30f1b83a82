"""Where a launcher's workers run in tests: what it takes, and what an onlooker can see of them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.jobs.launchers.kubernetes_double import KubernetesDouble, Manifest, kubeconfig
from tests.support.docker_engine import BARE_IMAGE, HOST_PATHS, DockerEngine
from worker.jobs.launchers.docker import DockerOptions, Mount, docker_launcher
from worker.jobs.launchers.kubernetes import kubernetes_launcher
from worker.jobs.launchers.kubernetes_manifests import KubernetesOptions
from worker.jobs.launchers.subprocess import SubprocessLauncher, SubprocessOptions
from worker.jobs.ports import Launch, Launcher, WorkerState

STAND_IN = Path(__file__).with_name("stand_in.py")
ENVIRONMENT = {"PATH": os.defpath, "MIXWORKER_LOG__LEVEL": "info"}
WITHIN_S = 30.0
JOB = "0123456789abcdef0123456789abcdef"


def launch_of(job_id: str = JOB, attempt: int = 1, **job: Any) -> Launch:
    """A worker that does what *job* says, see `stand_in`."""
    return Launch(job_id, attempt, json.dumps(job).encode(), cores=0.5, memory_mb=96)


async def until(fulfilled: Callable[[], Awaitable[bool]]) -> None:
    """Real processes have no clock that could be put forward."""
    async with asyncio.timeout(WITHIN_S):
        while not await fulfilled():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class World(Protocol):
    """One kind of launcher with its surroundings."""

    tells_exit_code_of_stopped: bool

    def launcher(self) -> AbstractAsyncContextManager[Launcher]:
        """One more control plane's launcher."""
        ...

    def said(self, job_id: str, attempt: int) -> str:
        """What the worker has printed."""
        ...

    def seen(self, job_id: str, attempt: int) -> str:
        """Everything that others can see of a running worker without being it."""
        ...

    def recoveries(self) -> int:
        """How often spools were tidied."""
        ...


async def ready(world: World, job_id: str = JOB, attempt: int = 1) -> None:
    """Wait until the worker has read its document and listens to signals."""

    async def is_ready() -> bool:
        return "ready" in world.said(job_id, attempt)

    await until(is_ready)


async def ended(launcher: Launcher, job_id: str = JOB, attempt: int = 1) -> WorkerState:
    """How the worker ended, which this waits for."""

    async def has_ended() -> bool:
        state = await launcher.look(job_id, attempt)
        return state is not None and not state.is_running

    await until(has_ended)
    state = await launcher.look(job_id, attempt)
    assert state is not None
    return state


class Processes:
    """Subprocesses of this machine."""

    tells_exit_code_of_stopped = True

    def __init__(self, directory: Path) -> None:
        self.options = process_options(directory)

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[Launcher]:
        launcher = SubprocessLauncher(self.options)
        try:
            yield launcher
        finally:
            launcher.close()

    def said(self, job_id: str, attempt: int) -> str:
        return _text(self.options.directory / "logs" / f"{job_id}.{attempt}.log")

    def pid(self, job_id: str, attempt: int) -> int:
        lines = _text(self.options.directory / "workers" / f"{job_id}.{attempt}").split()
        return int(lines[1])

    def seen(self, job_id: str, attempt: int) -> str:
        files = [path for path in self.options.directory.rglob("*") if path.is_file()]
        return _process_facts(self.pid(job_id, attempt)) + "".join(_text(each) for each in files)

    def recoveries(self) -> int:
        return _text(self.options.directory / "logs" / "recover.log").count("recovered")


def process_options(directory: Path) -> SubprocessOptions:
    return SubprocessOptions(
        directory=directory / "launcher",
        run_command=(sys.executable, str(STAND_IN), "run", "-"),
        recover_command=(sys.executable, str(STAND_IN), "recover"),
        environment=ENVIRONMENT,
        working_directory=directory,
    )


class Containers:
    """Containers of a real engine; the interpreter and the stand-in come from this machine."""

    tells_exit_code_of_stopped = True

    def __init__(self, engine: DockerEngine) -> None:
        self.engine = engine
        self.options = DockerOptions(
            url=engine.url,
            image=BARE_IMAGE,
            run_command=(sys.executable, str(STAND_IN), "run", "-"),
            recover_command=(sys.executable, str(STAND_IN), "recover"),
            mounts=(
                Mount("spool", "/spool"),
                *(Mount(path, path, is_read_only=True) for path in HOST_PATHS),
            ),
            network="none",
            environment=ENVIRONMENT,
        )

    def launcher(self) -> AbstractAsyncContextManager[Launcher]:
        return docker_launcher(self.options)

    def said(self, job_id: str, attempt: int) -> str:
        return self.engine.docker("logs", f"mixworker-{job_id}-{attempt}")

    def inspected(self, job_id: str, attempt: int) -> dict[str, Any]:
        facts: list[dict[str, Any]] = json.loads(
            self.engine.docker("inspect", f"mixworker-{job_id}-{attempt}")
        )
        return facts[0]

    def seen(self, job_id: str, attempt: int) -> str:
        facts = self.inspected(job_id, attempt)
        return json.dumps(facts) + _process_facts(facts["State"]["Pid"])

    def recoveries(self) -> int:
        return self.engine.docker("logs", "mixworker-recover").count("recovered")


class Pods:
    """Jobs of the double's API; its pods are processes of this machine."""

    tells_exit_code_of_stopped = False

    def __init__(self, directory: Path, rules: Sequence[Manifest]) -> None:
        self.double = KubernetesDouble(directory, (sys.executable, str(STAND_IN)), rules)
        self.options = KubernetesOptions(
            namespace="test",
            image="registry.example/mixworker@sha256:" + "0" * 64,
            run_command=("run",),
            recover_command=("recover",),
            environment=ENVIRONMENT,
            kubeconfig=str(directory / "kubeconfig"),
            spool_claim="spool",
            fresh_s=0.02,
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        async with self.double.serve() as url:
            Path(self.options.kubeconfig).write_text(kubeconfig(url))  # noqa: ASYNC240
            yield

    def launcher(self) -> AbstractAsyncContextManager[Launcher]:
        return kubernetes_launcher(self.options)

    def name(self, job_id: str = JOB, attempt: int = 1) -> str:
        return f"mixworker-{job_id}-{attempt}"

    def said(self, job_id: str, attempt: int) -> str:
        return _text(self.double.log(self.name(job_id, attempt)))

    def seen(self, job_id: str, attempt: int) -> str:
        pod = self.double.pods[self.name(job_id, attempt)]
        assert pod.process is not None
        manifests = [self.double.jobs[self.name(job_id, attempt)], pod.manifest]
        return json.dumps(manifests) + _process_facts(pod.process.pid)

    def recoveries(self) -> int:
        return _text(self.double.log("mixworker-recover")).count("recovered")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _process_facts(pid: int) -> str:
    """Command lines and environments of a process and its children."""
    folder = Path("/proc", str(pid))
    children = (folder / "task" / str(pid) / "children").read_text().split()
    return "".join(
        Path("/proc", each, name).read_text(errors="replace")
        for each in (str(pid), *children)
        for name in ("cmdline", "environ")
    )
