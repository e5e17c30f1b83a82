"""A control plane that launches workers and dies by SIGKILL at a named point of the first.

Arguments: the launcher's directory, the point, the job document, the jobs.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.jobs.launchers.worlds import process_options
from worker.jobs.launchers import subprocess as launcher_module
from worker.jobs.launchers import worker_file
from worker.jobs.launchers.subprocess import SubprocessLauncher
from worker.jobs.ports import Launch


def main() -> None:
    directory, point, document, *jobs = sys.argv[1:]
    _arm(point)
    launcher = SubprocessLauncher(process_options(Path(directory)))
    for job_id in jobs:
        launch = Launch(job_id, 1, document.encode(), cores=1.0, memory_mb=100)
        asyncio.run(launcher.launch(launch))
    _die()


def _arm(point: str) -> None:
    match point:
        case "before the document is written":
            _after(os, "pipe", _die)
        case "in the middle of the document":
            os.write = lambda file, data: (_write(file, data[: len(data) // 2]), _die())[0]  # type: ignore[assignment]
        case "before spawn":
            launcher_module.subprocess.Popen = _die  # type: ignore[misc, assignment]
        case "after spawn, before it is announced":
            # The shell is given time to be still at its first line.
            worker_file.ANNOUNCE = f"sleep 0.5; {worker_file.ANNOUNCE}"
            _after(subprocess, "Popen", _die)
        case "after spawn":
            _after(worker_file, "look_when_announced", _die)
        case "after launch":
            pass
        case _:
            raise ValueError(point)


_write = os.write


def _after(module: Any, name: str, then: Callable[[], NoReturn]) -> None:
    original = getattr(module, name)

    def replacement(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        then()

    setattr(module, name, replacement)


def _die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")


if __name__ == "__main__":
    main()
