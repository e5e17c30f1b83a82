"""What runs workers, as the settings say."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf
from pathlib import Path

from worker.errors import InvalidField
from worker.jobs.launchers.subprocess import SubprocessLauncher, SubprocessOptions
from worker.jobs.ports import Launcher
from worker.settings import ENVIRONMENT_PREFIX, Settings

_OURS = tuple(f"{ENVIRONMENT_PREFIX}{section}__" for section in ("API", "CONTROL", "ROOMS"))
"""Variables that are none of the workers' business."""
_MB = 1 << 20
_SPOOL = "/spool"
_CLUSTER_CONFIG = "/etc/mixworker/worker.toml"
MORE_GRACE_S = 35.0
"""Beyond what a stop may take: for the last uploads and callbacks, before the engine kills."""


def results_directory(settings: Settings) -> str:
    """Where workers, as they see it, say in the end how it went."""
    if settings.control.launcher == "subprocess":
        return str(Path(settings.control.directory).resolve() / "results")
    return "/tmp/results"  # gone with the container; the control plane has been told


def capacity_of(settings: Settings) -> tuple[float, float]:
    """Cores and memory, MB, for all workers together."""
    control = settings.control
    cores, memory_mb = control.cores, control.memory_mb
    if control.launcher == "kubernetes":
        return cores or inf, memory_mb or inf
    machine_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _MB
    return cores or len(os.sched_getaffinity(0)), memory_mb or machine_mb


def open_launcher(
    settings: Settings, config: Path | None = None
) -> AbstractAsyncContextManager[Launcher]:
    """The launcher of the settings, which were read from *config*.

    Opening it raises `LaunchError`, and `InvalidField` for settings that do not fit.
    """
    match settings.control.launcher:
        case "subprocess":
            return _processes(settings, config)
        case "docker":
            return _containers(settings)
        case "kubernetes":
            return _cluster_jobs(settings)


@asynccontextmanager
async def _processes(settings: Settings, config: Path | None) -> AsyncIterator[Launcher]:
    launcher = SubprocessLauncher(_subprocess(settings, config))
    try:
        yield launcher
    finally:
        launcher.close()


def _subprocess(settings: Settings, config: Path | None) -> SubprocessOptions:
    control = settings.control
    path = Path(control.worker_config) if control.worker_config else config
    command = [sys.executable, "-m", "worker"]
    if path is not None:
        command += ["--config", str(path.resolve())]
    return SubprocessOptions(
        directory=Path(control.directory).resolve(),
        run_command=[*command, "run", "-"],
        recover_command=[*command, "recover"],
        # As ours was given: whoever puts the store's keys there lets workers have them.
        environment={
            name: value for name, value in os.environ.items() if not name.startswith(_OURS)
        },
        working_directory=Path.cwd(),
    )


@asynccontextmanager
async def _containers(settings: Settings) -> AsyncIterator[Launcher]:
    # Each of these libraries is an extra, and the import of a client costs seconds.
    from worker.jobs.launchers.docker import DockerOptions, Mount, docker_launcher

    control = settings.control
    options = ["--config", control.worker_config] if control.worker_config else []
    mounts = [Mount(control.spool, _SPOOL)]
    for text in control.docker_mounts:
        source, _, target = text.partition(":")
        if not source or not target.startswith("/"):
            raise InvalidField("control.docker_mounts", "must be path-there:/path-in-worker")
        mounts.append(Mount(source, target, is_read_only=True))
    async with docker_launcher(
        DockerOptions(
            url=control.docker_url,
            image=control.image,
            run_command=[*options, "run", "-"],
            recover_command=[*options, "recover"],
            mounts=mounts,
            network=control.network,
            stop_grace_s=settings.stop.grace_s + MORE_GRACE_S,
        )
    ) as launcher:
        yield launcher


@asynccontextmanager
async def _cluster_jobs(settings: Settings) -> AsyncIterator[Launcher]:
    from worker.jobs.launchers.kubernetes import kubernetes_launcher
    from worker.jobs.launchers.kubernetes_manifests import KubernetesOptions

    control = settings.control
    config = ["--config", control.worker_config or _CLUSTER_CONFIG]
    async with kubernetes_launcher(
        KubernetesOptions(
            namespace=control.namespace,
            image=control.image,
            run_command=[*config, "run"],
            recover_command=[*config, "recover"],
            kubeconfig=control.kubeconfig,
            settings_map=control.settings_map,
            keys_secret=control.keys_secret,
            spool_claim=control.spool,
            stop_grace_s=settings.stop.grace_s + MORE_GRACE_S,
        )
    ) as launcher:
        yield launcher
