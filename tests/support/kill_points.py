"""Control planes that die by SIGKILL at a named point.

They are forked from one process that has imported everything, so that one starts in a moment:
`python -m tests.support.kill_points` reads orders, one JSON object a line, and answers each with
the number of the process in which `mixworker serve` runs now. Two things are not as in service:
jobs get cheap workers (`tests.support.cheap_worker`), and nobody is told that they ask too often.
"""

import inspect
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tests.support.waiting import until

BEFORE, AFTER = False, True
PATIENCE_S = 10.0
"""As in service."""


def _points() -> Mapping[str, tuple[type, str, bool]]:
    """Whose method, which, and whether its first call is the last thing or never begins."""
    from worker.api.routes.mix_jobs import MixJobs
    from worker.jobs.closing import Closing
    from worker.jobs.desk import Desk
    from worker.jobs.launchers.subprocess import SubprocessLauncher
    from worker.jobs.reconciler import Reconciler
    from worker.jobs.records.sql_records import SqlRecords

    return {
        "before the job is stored": (SqlRecords, "add_job", BEFORE),
        "after the job is stored": (SqlRecords, "add_job", AFTER),
        "before the reply to a create": (MixJobs, "_create", AFTER),
        "before the worker is numbered": (Reconciler, "_start_first", BEFORE),
        "before the worker is spawned": (SubprocessLauncher, "launch", BEFORE),
        "after the spawn": (SubprocessLauncher, "_spawn", AFTER),
        "after the launch": (SubprocessLauncher, "launch", AFTER),
        "before the worker's state is stored": (SqlRecords, "change_job", BEFORE),
        "after an event is stored": (SqlRecords, "add_message", AFTER),
        "before a callback is marked": (SqlRecords, "finish_message", BEFORE),
        "after a callback is marked": (SqlRecords, "finish_message", AFTER),
        "before the reply to an update": (Desk, "update", AFTER),
        "before the reply to a stop": (Desk, "stop", AFTER),
        "before the last word": (Closing, "is_told", BEFORE),
        "after the last word": (Closing, "is_told", AFTER),
        "before a worker is forgotten": (SubprocessLauncher, "forget", BEFORE),
        "after a worker is forgotten": (SubprocessLauncher, "forget", AFTER),
    }


@dataclass
class ForkedPlane:
    """A control plane that runs, or has died."""

    handle: int
    """A descriptor of its process."""
    log: Path
    url: str = ""

    async def ready(self) -> None:
        """Wait until it serves, and learn where."""

        def serves() -> bool:
            if found := re.search(r"dashboard: (\S+)\n", self.log.read_text()):
                self.url = found[1]
            assert self.url or not self.has_died(), self.log.read_text()
            return bool(self.url)

        await until(serves)

    def has_died(self) -> bool:
        return bool(select.select([self.handle], [], [], 0)[0])

    async def died(self) -> None:
        await until(self.has_died)

    def kill(self) -> None:
        try:
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Nursery:
    """The process from which control planes are forked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def fork(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        point: str = "",
        patience_s: float = PATIENCE_S,
    ) -> ForkedPlane:
        """One that dies at *point*, if it is given one; `ready` tells when it serves.

        *patience_s* is how long it waits for a lock of its database.
        """
        log.touch()
        order = {
            "environment": dict(environment),
            "log": str(log),
            "point": point,
            "patience_s": patience_s,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return ForkedPlane(os.pidfd_open(int(self._process.stdout.readline())), log)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Control planes that were forked outlive it: kill them."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    # Imported for those who are forked.
    from worker.app import control_plane  # noqa: F401
    from worker.cli import serve  # noqa: F401
    from worker.storage import browse  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(**json.loads(line))
        print(child, flush=True)


def _serve(environment: dict[str, str], log: str, point: str, patience_s: float) -> NoReturn:
    from worker.__main__ import main as mixworker
    from worker.app import control_plane
    from worker.jobs.records import open_records

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    with Path(log).open("ab") as file, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    _replace_workers()
    control_plane.open_records = partial(open_records, patience_s=patience_s)  # type: ignore[assignment]
    if point:
        _arm(*_points()[point])
    sys.argv = ["mixworker", "serve"]
    try:
        mixworker()
    finally:
        os._exit(1)


def _replace_workers() -> None:
    from worker.api.auth.limits import Limits
    from worker.app import launching

    original = launching._subprocess

    def cheap(*arguments: Any) -> Any:
        command = [sys.executable, "-m", "tests.support.cheap_worker"]
        return replace(original(*arguments), run_command=command, recover_command=["true"])

    launching._subprocess = cheap
    Limits.count = lambda self, account_id, group: None  # type: ignore[method-assign]


def _arm(owner: type, name: str, is_after: bool) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        if is_after:
            original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    async def dying_async(*arguments: Any, **options: Any) -> Any:
        if is_after:
            await original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying_async if inspect.iscoroutinefunction(original) else dying)


if __name__ == "__main__":
    main()
