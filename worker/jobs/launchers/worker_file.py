"""The file of one worker process: locked while the worker lives, whoever started it.

The worker inherits the descriptor that holds the lock, so the system lets go of it when the worker
dies, however it dies, and never while it lives. The worker's first act is to write its own number
into the file: whoever finds the lock held can stop its holder, and a file that is neither locked
nor written in belongs to a launcher that died before it started anything. Locks are those of
flock(2), so the directory must be on a local file system.
"""

import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from worker.errors import LaunchError

ANNOUNCE = 'echo "pid $$" >>"$0" && exec "$@"'
"""What /bin/sh does before it becomes the worker; $0 is the file."""

_PAUSE_S = 0.005
_PATIENCE = 2000
"""Pauses: ten seconds are what a shell takes to start on a machine that is much too busy."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a file tells. `pid` None: nothing has been started yet, or ever."""

    is_held: bool
    pid: int | None
    exit_code: int | None
    was_stopped: bool


def look(path: Path) -> Trace | None:
    """None when there is no such file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return _read(file)
    finally:
        os.close(file)


def look_when_announced(path: Path) -> Trace | None:
    """Like `look`, but gives a worker that is just being started the time to say its number."""
    trace = look(path)
    for _ in range(_PATIENCE):
        if trace is None or not trace.is_held or trace.pid is not None:
            break
        time.sleep(_PAUSE_S)
        trace = look(path)
    return trace


def claim(path: Path) -> int | None:
    """The locked descriptor of a file for a new worker; None when it has, or had, a worker.

    Raises `LaunchError` when somebody holds the lock and starts nothing.
    """
    for _ in range(_PATIENCE):
        file = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            is_ours = _try_lock(file, fcntl.LOCK_EX)
            if _number(file, "pid") is not None:
                os.close(file)
                return None
            if is_ours and os.fstat(file).st_nlink:
                os.ftruncate(file, 0)  # how somebody ended who never became a worker
                return file
        except BaseException:
            os.close(file)
            raise
        # Somebody looks, has just removed it, or is about to start this very worker.
        os.close(file)
        time.sleep(_PAUSE_S)
    raise LaunchError("the worker is being started by somebody who does not get on with it")


def note_exit(path: Path, exit_code: int) -> None:
    """Write down how the worker ended, for control planes that did not start it."""
    _append(path, f"exit {exit_code}\n")


def stop(path: Path) -> None:
    """Send SIGTERM, once: a worker takes a second one as an order to drop what it has."""
    trace = look(path)
    if trace is not None and not trace.was_stopped and _send(path, signal.SIGTERM):
        _append(path, "stop 1\n")


def kill(path: Path) -> None:
    """Send SIGKILL."""
    _send(path, signal.SIGKILL)


def _send(path: Path, number: signal.Signals) -> bool:
    """Signal the worker if it lives; a process that got its number after it is never hit."""
    trace = look_when_announced(path)
    if trace is None or not trace.is_held or trace.pid is None:
        return False
    try:
        process = os.pidfd_open(trace.pid)
    except ProcessLookupError:
        return False
    try:
        # Held before and after: its holder lived when the number was looked up, so it is meant.
        again = look(path)
        if again is None or not again.is_held:
            return False
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return False  # it has ended meanwhile
    finally:
        os.close(process)
    return True


def _append(path: Path, line: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        os.write(file, line.encode("ascii"))
    finally:
        os.close(file)


def remove(path: Path) -> bool:
    """Remove the file of a worker that has ended; False when it lives."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        # Shared, as when looking: who only looks must not be in the way.
        is_free = _try_lock(file, fcntl.LOCK_SH)
        if is_free:
            path.unlink(missing_ok=True)
        return is_free
    finally:
        os.close(file)


def _read(file: int) -> Trace:
    is_free = _try_lock(file, fcntl.LOCK_SH)
    return Trace(
        is_held=not is_free,
        pid=_number(file, "pid"),
        exit_code=_number(file, "exit"),
        was_stopped=_number(file, "stop") is not None,
    )


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _number(file: int, key: str) -> int | None:
    """The number in the line that begins with *key*; half a line is none."""
    for line in os.pread(file, 4096, 0).decode("ascii", "replace").splitlines(keepends=True):
        word, _, value = line.partition(" ")
        if word == key and value.endswith("\n"):
            return int(value)
    return None
