"""A process that is there and answers nothing, like one on a machine that hangs."""

import os
import signal
import time
from pathlib import Path

WITHIN_S = 10.0
_STILL = frozenset("TtZX")
"""States of /proc/PID/stat: stopped, traced, and the two of a thread that has ended."""


def freeze(process_id: int) -> None:
    """Stop all its threads, and return when they stand: until then any of them may still answer.

    Raises `TimeoutError`.
    """
    os.kill(process_id, signal.SIGSTOP)
    deadline_s = time.monotonic() + WITHIN_S
    while not all(map(_is_still, Path(f"/proc/{process_id}/task").iterdir())):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"process {process_id} doesn't stop")
        time.sleep(0.001)


def thaw(process_id: int) -> None:
    os.kill(process_id, signal.SIGCONT)


def _is_still(thread: Path) -> bool:
    """Or gone meanwhile."""
    try:
        stat = (thread / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in _STILL
