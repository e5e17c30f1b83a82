"""Workers as processes of this machine, each in a session of its own.

They outlive the control plane, and the next one finds them by their files (`worker_file`); there
is no instant at which a worker exists that nobody knows of. One machine is served: control planes
on several machines that share a database need another launcher.
"""

import asyncio
import errno
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from worker.errors import LaunchError, LaunchRefused
from worker.jobs.launchers import worker_file
from worker.jobs.ports import Launch, WorkerState

LOG_BYTES = 4 << 20
"""A log that is longer begins anew, and what it was is kept once."""
KEPT_LOGS = 100

_T = TypeVar("_T")

_REAP_S = 5.0
"""From when a dying process lets go of its lock until it can be waited for."""
_NAME = re.compile(r"([0-9A-Za-z_-]+)\.([0-9]+)")


@dataclass(frozen=True, slots=True)
class SubprocessOptions:
    """How workers are started.

    `directory` is private to this user, local and kept over restarts; it gets `workers/` and
    `logs/`. Neither the commands nor the environment may hold secrets: both can be read by others.
    """

    directory: Path
    run_command: Sequence[str]
    """Reads the job document from its standard input."""
    recover_command: Sequence[str]
    environment: Mapping[str, str]
    working_directory: Path


class SubprocessLauncher:
    """Fulfils `ports.Launcher` by processes; close it after use, which ends no worker."""

    def __init__(self, options: SubprocessOptions) -> None:
        self._options = options
        self._workers = options.directory / "workers"
        self._logs = options.directory / "logs"
        self._recovery = options.directory / "recover"
        self._children: dict[Path, subprocess.Popen[bytes]] = {}
        # Disks may be slow; one thread, so that nobody else touches the children.
        self._thread = ThreadPoolExecutor(1, "launcher")

    def close(self) -> None:
        self._thread.shutdown()
        for child in self._children.values():
            # It goes on without us: nothing to warn of when the object goes.
            child.returncode = child.poll() or 0

    async def launch(self, launch: Launch) -> None:
        path = self._path(launch.job_id, launch.attempt)
        await self._do(lambda: self._launch(path, launch.document))

    async def look(self, job_id: str, attempt: int) -> WorkerState | None:
        path = self._path(job_id, attempt)
        return await self._do(lambda: self._look(path))

    async def running(self) -> Collection[tuple[str, int]]:
        return await self._do(self._running)

    async def stop(self, job_id: str, attempt: int) -> None:
        path = self._path(job_id, attempt)
        await self._do(lambda: worker_file.stop(path))

    async def kill(self, job_id: str, attempt: int) -> None:
        path = self._path(job_id, attempt)
        await self._do(lambda: worker_file.kill(path))

    async def forget(self, job_id: str, attempt: int) -> None:
        """Its log stays among the newest `KEPT_LOGS`."""
        path = self._path(job_id, attempt)
        await self._do(lambda: worker_file.remove(path))

    async def recover(self) -> None:
        await self._do(self._recover)

    def _path(self, job_id: str, attempt: int) -> Path:
        return self._workers / f"{job_id}.{attempt}"

    def _log(self, path: Path) -> Path:
        return self._logs / f"{path.name}.log"

    async def _do(self, work: Callable[[], _T]) -> _T:
        def reaping() -> _T:
            try:
                self._reap()
                return work()
            except OSError as exc:
                if exc.errno in (errno.EAGAIN, errno.ENOMEM):
                    raise LaunchRefused("the system has no room for another process") from exc
                # The text names files of ours, never what is in them.
                raise LaunchError(f"a worker's files cannot be used: {exc.strerror}") from exc

        return await asyncio.get_running_loop().run_in_executor(self._thread, reaping)

    def _launch(self, path: Path, document: bytes) -> None:
        self._make_directories()
        lock = worker_file.claim(path)
        if lock is None:
            return
        try:
            self._prune_logs()
            document_end = _pipe_holding(document)
            try:
                self._spawn(path, self._options.run_command, lock, document_end)
            finally:
                os.close(document_end)
        finally:
            os.close(lock)
        self._see_started(path)

    def _recover(self) -> None:
        self._make_directories()
        if not worker_file.remove(self._recovery):
            return
        lock = worker_file.claim(self._recovery)
        if lock is None:
            return
        try:
            with Path(os.devnull).open("rb") as nothing:
                self._spawn(self._recovery, self._options.recover_command, lock, nothing.fileno())
        finally:
            os.close(lock)
        self._see_started(self._recovery)

    def _spawn(self, path: Path, command: Sequence[str], lock: int, standard_input: int) -> None:
        """From the moment the process is there it holds the lock, even if we die now."""
        log = os.open(self._log(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._children[path] = subprocess.Popen(
                ["/bin/sh", "-c", worker_file.ANNOUNCE, str(path), *command],
                stdin=standard_input,
                stdout=log,
                stderr=log,
                cwd=self._options.working_directory,
                env=dict(self._options.environment),
                start_new_session=True,
                pass_fds=(lock,),
            )
        finally:
            os.close(log)

    def _see_started(self, path: Path) -> None:
        trace = worker_file.look_when_announced(path)
        if trace is None or trace.pid is None:
            raise LaunchError("the worker could not say its number; its log may tell why")

    def _look(self, path: Path) -> WorkerState | None:
        trace = worker_file.look(path)
        if trace is None or (trace.pid is None and not trace.is_held):
            return None
        if not trace.is_held and path in self._children:
            self._wait(path)
            trace = worker_file.look(path) or trace
        return WorkerState(trace.is_held, trace.exit_code)

    def _running(self) -> list[tuple[str, int]]:
        found = []
        for path in self._workers.iterdir() if self._workers.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            trace = worker_file.look(path)
            if name is not None and trace is not None and trace.is_held:
                found.append((name[1], int(name[2])))
                _bound(self._log(path))
        return found

    def _reap(self) -> None:
        for path in [path for path, child in self._children.items() if child.poll() is not None]:
            self._wait(path)

    def _wait(self, path: Path) -> None:
        try:
            code = self._children[path].wait(_REAP_S)
        except subprocess.TimeoutExpired as exc:
            raise LaunchError("a worker has let go of its lock, but does not end") from exc
        del self._children[path]
        worker_file.note_exit(path, code if code >= 0 else 128 - code)

    def _make_directories(self) -> None:
        for directory in (self._options.directory, self._workers, self._logs):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _prune_logs(self) -> None:
        """Remove the oldest logs of ended workers."""
        living = {f"{job_id}.{attempt}.log" for job_id, attempt in self._running()}
        ended = [
            path for path in self._logs.iterdir() if path.name.removesuffix(".1") not in living
        ]
        ended.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in ended[:-KEPT_LOGS]:
            path.unlink(missing_ok=True)


def _pipe_holding(document: bytes) -> int:
    """The reading end of a pipe in which all of *document* is already.

    So no worker can wait for the rest of one, and nothing of it is left once it was read.
    """
    reading_end, writing_end = os.pipe()
    try:
        fcntl.fcntl(writing_end, fcntl.F_SETPIPE_SZ, max(len(document), 4096))
        os.set_blocking(writing_end, False)
        if os.write(writing_end, document) < len(document):
            raise LaunchError("the job document does not fit into a pipe")
    except BaseException:
        os.close(reading_end)
        raise
    finally:
        os.close(writing_end)
    return reading_end


def _bound(log: Path) -> None:
    """Begin *log* anew when it is too long; its writer appends, so it goes on at the top."""
    if log.is_file() and log.stat().st_size > LOG_BYTES:
        shutil.copy(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
