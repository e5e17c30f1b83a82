"""What runs workers, as the settings say."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

from worker.jobs.launchers.subprocess import SubprocessLauncher, SubprocessOptions
from worker.jobs.ports import Launcher
from worker.settings import ENVIRONMENT_PREFIX, Settings

_OURS = tuple(f"{ENVIRONMENT_PREFIX}{section}__" for section in ("API", "CONTROL", "ROOMS"))
"""Variables that are none of the workers' business."""
_MB = 1 << 20


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


@asynccontextmanager
async def open_launcher(settings: Settings, config: Path | None = None) -> AsyncIterator[Launcher]:
    """The launcher of the settings, which were read from *config*. Raises `LaunchError`."""
    match settings.control.launcher:
        case "subprocess":
            launcher = SubprocessLauncher(_subprocess(settings, config))
            try:
                yield launcher
            finally:
                launcher.close()
        case _:
            raise NotImplementedError


def _subprocess(settings: Settings, config: Path | None) -> SubprocessOptions:
    control = settings.control
    path = Path(control.worker_config).resolve() if control.worker_config else config
    command = [sys.executable, "-m", "worker"]
    if path is not None:
        command += ["--config", str(path.resolve())]
    return SubprocessOptions(
        directory=Path(control.directory).resolve(),
        run_command=[*command, "run", "-"],
        recover_command=[*command, "recover"],
        environment={
            name: value for name, value in os.environ.items() if not name.startswith(_OURS)
        },
        working_directory=Path.cwd(),
    )
