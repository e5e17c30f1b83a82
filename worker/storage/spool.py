"""The directory in which files wait for their delivery: one folder a job, locked while it lives.

A folder whose lock nobody holds is what a crash has left: the system lets go of a lock when its
process dies, however it dies.
"""

import fcntl
import os
import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import DestinationError, DestinationRefused

FLOOR_BYTES = 2 << 30
"""With less no job is begun: half an hour of a store that is away costs 1.1 GB per job."""

_LOCK = ".lock"
_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class JobSpool:
    """The folder of one job, ours while this is open. Made by `Spool`."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go; a folder in which nothing is left is removed.

        Hidden are the lock, and what a crash has left of something that was written anew.
        """
        if all(path.name.startswith(".") for path in self.directory.iterdir()):
            shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)


class Spool:
    """All jobs' folders on this machine, or in this container."""

    def __init__(self, root: Path, *, floor_bytes: int = FLOOR_BYTES) -> None:
        self.root = root
        self._floor_bytes = floor_bytes

    def free_bytes(self) -> int:
        """What can still be written. Raises `DestinationError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.root).free
        except OSError as exc:
            raise DestinationRefused(f"the spool cannot be used: {exc.strerror}") from exc

    def is_low(self) -> bool:
        """Whether no job should be begun."""
        return self.free_bytes() < self._floor_bytes

    def claim(self, job_id: str) -> JobSpool:
        """A folder for a new job, or the one that a crash of this job has left.

        Raises `DestinationError` when there is not enough room, when another process has it, and
        when the name will not do.
        """
        if _JOB_ID.fullmatch(job_id) is None:
            raise DestinationRefused("a job id that cannot be the name of a folder")
        if self.is_low():
            raise DestinationError(f"the spool has only {self.free_bytes() >> 20} MiB left")
        directory = self.root / job_id
        try:
            claimed = _claimed(directory)
        except OSError as exc:
            raise DestinationError(f"the spool cannot be written: {exc.strerror}") from exc
        if claimed is None:
            raise DestinationError(f"job {job_id} is running already")
        return claimed

    def folders(self) -> list[Path]:
        """Folders of all jobs, whoever has them."""
        if not self.root.is_dir():
            return []
        return sorted(
            path
            for path in self.root.iterdir()
            if path.is_dir() and _JOB_ID.fullmatch(path.name) is not None
        )

    def orphan(self, directory: Path) -> JobSpool | None:
        """A folder, claimed, if its worker is dead."""
        return _claimed(directory) if directory.is_dir() else None


def _claimed(directory: Path) -> JobSpool | None:
    """None when somebody else has it. Raises `OSError`."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # removed by its owner just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if os.fstat(lock).st_nlink:
            return JobSpool(directory, lock)
        os.close(lock)  # locked, but removed by its owner in between
