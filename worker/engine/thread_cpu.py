"""CPU by kind of thread, so that an operator sees which stage of a job costs what."""

import os
import threading
from pathlib import Path

EVERY_S = 1.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TASKS = Path("/proc/self/task")
_UTIME, _STIME = 11, 12
"""Fields of a task's stat (proc(5)), counted from the one after the name."""


class ThreadCpu:
    """Keeps what each thread had used when it was last looked at: threads end before the job.

    Tells the system their names too, so that `top -H` and profilers show them.
    """

    def __init__(self) -> None:
        self._used_s: dict[tuple[str, int], float] = {}
        self._next_s = 0.0

    def look(self, now_s: float) -> None:
        """Take note of every Python thread, at most once a second of *now_s*; 0.3 ms."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        for thread in threading.enumerate():
            number = thread.native_id
            if number is None:
                continue
            kind = _kind(thread)
            if (kind, number) not in self._used_s:
                _name(number, kind)
            used_s = _used_s(number)
            if used_s is not None:
                self._used_s[kind, number] = used_s

    def by_kind(self, process_s: float) -> dict[str, float]:
        """Seconds by kind of thread; "other" is the rest of *process_s*.

        That is what libraries' own threads used, and everybody after the last look.
        """
        kinds: dict[str, float] = {}
        for (kind, _), used_s in self._used_s.items():
            kinds[kind] = kinds.get(kind, 0.0) + used_s
        kinds["other"] = max(0.0, process_s - sum(kinds.values()))
        return {kind: round(used_s, 2) for kind, used_s in kinds.items()}


def _kind(thread: threading.Thread) -> str:
    """What the thread is for; pools number theirs: decode_0."""
    if thread is threading.main_thread():
        return "main"
    return thread.name.rstrip("0123456789").rstrip("_")


def _name(number: int, kind: str) -> None:
    # The name of the first thread is the name of the process in a process list.
    if kind == "main":
        return
    try:
        (_TASKS / str(number) / "comm").write_text(kind)
    except OSError:
        pass  # it has ended, or the system keeps no names


def _used_s(number: int) -> float | None:
    """None once the thread has ended."""
    try:
        stat = (_TASKS / str(number) / "stat").read_text()
    except OSError:
        return None
    # The name may hold brackets and spaces; what follows its last bracket does not.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S
