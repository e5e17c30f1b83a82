"""What is noted in a job's spool folder for whoever finishes the job after a crash."""

import shutil
from pathlib import Path

from worker.errors import DestinationError
from worker.notify.target import kept_target
from worker.storage import journal, ledger
from worker.storage.spool import JobSpool

_CALLBACKS, _LOCATION, _ENDED = "callbacks", "location", "ended"
_OURS = {_CALLBACKS, _LOCATION, _ENDED}
LOST = "worker_lost"
"""Why a job is over that nobody ended."""


def callbacks(spool: JobSpool) -> Path:
    """Where the job's events are."""
    return spool.directory / _CALLBACKS


def keep_location(spool: JobSpool, location: str) -> None:
    """Note the location of the job's record rule. Raises `DestinationError`."""
    _write(spool.directory / _LOCATION, location)


def location(spool: JobSpool) -> str:
    """The location of the job's record rule, empty when there was none."""
    return _read(spool.directory / _LOCATION) or ""


def keep_reason(spool: JobSpool, reason: str) -> None:
    """Note why the job ended. Raises `DestinationError`."""
    _write(spool.directory / _ENDED, reason)


def reason(spool: JobSpool) -> str:
    """Why the job ended."""
    return _read(spool.directory / _ENDED) or LOST


def has_files(spool: JobSpool) -> bool:
    """Whether there is still something to deliver, or to tell the completion of."""
    return any(
        path.name.endswith((journal.SUFFIX, ledger.SUFFIX)) for path in spool.directory.iterdir()
    )


def _is_empty(spool: JobSpool) -> bool:
    """Whether there is nothing but notes, and the hidden lock."""
    return all(
        path.name in _OURS or path.name.startswith(".") for path in spool.directory.iterdir()
    )


def tidy(spool: JobSpool) -> None:
    """Take the notes away once neither files nor events wait; the folder goes with them."""
    if not _is_empty(spool):
        return
    try:
        if kept_target(callbacks(spool)) is not None:
            return
    except DestinationError:
        return  # unreadable, for a person to look at
    shutil.rmtree(callbacks(spool), ignore_errors=True)
    for name in (_LOCATION, _ENDED):
        (spool.directory / name).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise DestinationError(f"the spool cannot be written: {exc.strerror}") from exc


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
