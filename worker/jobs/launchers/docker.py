"""Workers as containers of one Docker engine.

A container's name says which worker it is, so the engine itself sees to it that there is one of
each. The job document goes through its standard input, which leaves nothing in what the engine
tells or keeps; when we die in the middle the engine closes that input, and the worker ends by
itself because half a document is none.
"""

import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiodocker import Docker, DockerError
from aiohttp import ClientError, ClientTimeout

from worker.errors import LaunchError
from worker.jobs.ports import Launch, WorkerState

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 30.0

STILLBORN_AFTER = timedelta(seconds=10)
"""A container that has not been started by then belongs to a launcher that died before it could."""

CPU_BURST = 2.0
"""Workers compose and encode in batches: held to their mean they would be late in each."""

_PERIOD_US = 100_000
_GONE, _CONFLICT = 404, 409
_LOGS = {"Type": "local", "Config": {"max-size": "8m", "max-file": "2"}}


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume by its name, or an absolute path of the engine's machine."""

    source: str
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How containers are made. Neither commands nor environment may hold secrets."""

    url: str
    """Of the engine: unix:///var/run/docker.sock, tcp://host:2376."""
    image: str
    """Must be there already; by digest, unless it may change under running jobs."""
    run_command: Sequence[str]
    """Arguments of the image's entry point; reads the job document from standard input."""
    recover_command: Sequence[str]
    mounts: Sequence[Mount]
    """Nothing else can be written to but /tmp: the spool, and where results go, must be here."""
    network: str = "bridge"
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_grace_s: float = 60.0
    """Between SIGTERM and SIGKILL when the engine itself stops a container."""
    user: str = "10001:10001"
    group: str = "mixworker"
    """Containers of this group are ours: one name for each control plane (or set of them)."""
    recover_cores: float = 1.0
    recover_memory_mb: int = 1024


class DockerLauncher:
    """Fulfils `ports.Launcher` by containers. Made by `docker_launcher`."""

    def __init__(self, docker: Docker, options: DockerOptions) -> None:
        self._docker = docker
        self._options = options
        self._stopped: set[str] = set()
        if "@sha256:" not in options.image:
            log.warning("worker image is not named by digest", extra={"image": options.image})

    async def launch(self, launch: Launch) -> None:
        name = self._name(launch.job_id, launch.attempt)
        config = worker_container(launch, self._options)
        with _in_words():
            try:
                container = await self._docker.containers.create(config, name=name)
            except DockerError as exc:
                if exc.status != _CONFLICT:
                    raise
                if not await self._removed_stillborn(name):
                    return
                container = await self._docker.containers.create(config, name=name)
            try:
                # Attached before it runs: its standard input ends with this connection.
                async with container.attach(stdin=True) as stream:
                    await container.start()
                    await stream.write_in(launch.document)
            except DockerError:
                await container.delete(force=True, v=True)
                raise

    async def look(self, job_id: str, attempt: int) -> WorkerState | None:
        with _in_words():
            state = await self._state(self._name(job_id, attempt))
        if state is None or state["Status"] == "created":
            return None
        is_running = state["Status"] in ("running", "paused", "restarting")
        return WorkerState(is_running, None if is_running else state["ExitCode"])

    async def running(self) -> Collection[tuple[str, int]]:
        ours = {"label": [f"mixworker.group={self._options.group}", "mixworker.job"]}
        with _in_words():
            containers = await self._docker.containers.list(filters=json.dumps(ours))
        labels = [each["Labels"] for each in containers]
        return [(each["mixworker.job"], int(each["mixworker.attempt"])) for each in labels]

    async def stop(self, job_id: str, attempt: int) -> None:
        """Only once by this control plane: a second signal makes a worker drop what it has."""
        name = self._name(job_id, attempt)
        if name not in self._stopped and await self._signal(name, "SIGTERM"):
            self._stopped.add(name)

    async def kill(self, job_id: str, attempt: int) -> None:
        await self._signal(self._name(job_id, attempt), "SIGKILL")

    async def forget(self, job_id: str, attempt: int) -> None:
        name = self._name(job_id, attempt)
        with _in_words(_GONE, _CONFLICT):
            await self._docker.containers.container(name).delete(v=True)
            self._stopped.discard(name)

    async def recover(self) -> None:
        name = f"{self._options.group}-recover"
        with _in_words():
            state = await self._state(name)
            if state is not None and state["Running"]:
                return
        with _in_words(_GONE):
            await self._docker.containers.container(name).delete(v=True)
        with _in_words():
            container = await self._docker.containers.create(
                recovery_container(self._options), name=name
            )
            await container.start()

    def _name(self, job_id: str, attempt: int) -> str:
        return f"{self._options.group}-{job_id}-{attempt}"

    async def _state(self, name: str) -> dict[str, Any] | None:
        try:
            shown = await self._docker.containers.container(name).show()
        except DockerError as exc:
            if exc.status != _GONE:
                raise
            return None
        state: dict[str, Any] = shown["State"]
        return state

    async def _signal(self, name: str, signal: str) -> bool:
        with _in_words(_GONE, _CONFLICT):
            await self._docker.containers.container(name).kill(signal=signal)
            return True
        return False

    async def _removed_stillborn(self, name: str) -> bool:
        """Remove a container that was made long ago and never started; False when it is not so."""
        container = self._docker.containers.container(name)
        try:
            shown = await container.show()
            if shown["State"]["Status"] != "created":
                return False
            # Both by the engine's clock.
            now = _instant((await self._docker.system.info())["SystemTime"])
            if now - _instant(shown["Created"]) < STILLBORN_AFTER:
                return False
            await container.delete(v=True)
        except DockerError as exc:
            # A name that is taken, but not to be seen yet, is being made by somebody else.
            if exc.status not in (_GONE, _CONFLICT):
                raise
            return False
        return True


@asynccontextmanager
async def docker_launcher(options: DockerOptions) -> AsyncIterator[DockerLauncher]:
    """A launcher with a connection to the engine, which need not answer yet."""
    async with Docker(options.url, timeout=ClientTimeout(total=ANSWER_WITHIN_S)) as docker:
        yield DockerLauncher(docker, options)


def worker_container(launch: Launch, options: DockerOptions) -> dict[str, Any]:
    """What the engine is asked for; nothing in it is secret."""
    return _container(options, options.run_command, launch.cores, launch.memory_mb) | {
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "Labels": {
            "mixworker.group": options.group,
            "mixworker.job": launch.job_id,
            "mixworker.attempt": str(launch.attempt),
        },
    }


def recovery_container(options: DockerOptions) -> dict[str, Any]:
    """A container that delivers what dead workers left in the spool."""
    return _container(
        options, options.recover_command, options.recover_cores, options.recover_memory_mb
    ) | {"Labels": {"mixworker.group": options.group}}


def _container(
    options: DockerOptions, command: Sequence[str], cores: float, memory_mb: int
) -> dict[str, Any]:
    return {
        "Image": options.image,
        "Cmd": list(command),
        "Env": [f"{key}={value}" for key, value in options.environment.items()],
        "User": options.user,
        "StopTimeout": round(options.stop_grace_s),
        "HostConfig": {
            # A first process of its own: before it has handlers, a worker that is process 1 would
            # not hear SIGTERM.
            "Init": True,
            "NetworkMode": options.network,
            "RestartPolicy": {"Name": "no"},
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "Privileged": False,
            "PidsLimit": 512,
            "Memory": memory_mb << 20,
            "MemorySwap": memory_mb << 20,
            "CpuShares": max(2, round(cores * 1024)),
            "CpuPeriod": _PERIOD_US,
            "CpuQuota": round(cores * CPU_BURST * _PERIOD_US),
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},
            "Mounts": [_mount(each) for each in options.mounts],
            "LogConfig": _LOGS,
        },
    }


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind" if mount.source.startswith("/") else "volume",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.is_read_only,
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def _in_words(*ignored: int) -> Iterator[None]:
    """The engine's errors as `LaunchError`; an answer of an *ignored* status is none."""
    try:
        yield
    except DockerError as exc:
        if exc.status not in ignored:
            raise LaunchError(f"the Docker engine: {exc.message}") from exc
    except (TimeoutError, ClientError, OSError) as exc:
        raise LaunchError("the Docker engine does not answer") from exc
