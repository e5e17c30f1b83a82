"""CPU and memory of processes, as Linux counts them."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

_LOOK_EVERY_S = 0.05
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process used, user and system together."""

    cpu_s: float
    peak_memory_mb: float


def run(command: Sequence[str]) -> Spent:
    """Run *command* to its end. Raises `CalledProcessError` with what it said."""
    peak_mb = 0.0
    with TemporaryFile() as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        # Not what wait4 says of memory: that begins with what the parent had.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak_mb = max(peak_mb, peak_memory_mb(process.pid))
            time.sleep(_LOOK_EVERY_S)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())
    return Spent(usage.ru_utime + usage.ru_stime, peak_mb)


def peak_memory_mb(pid: int) -> float:
    """The most a running process ever had resident; 0 once it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def cpu_by_thread(pid: int) -> dict[str, float]:
    """CPU of a running process so far by the names of its threads; the first one is "main"."""
    spent_s: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            stat = (task / "stat").read_text()
        except FileNotFoundError:
            continue  # ended meanwhile
        name = stat.partition("(")[2].rpartition(")")[0]
        fields = stat.rpartition(")")[2].split()
        kind = "main" if task.name == str(pid) else name
        used_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        spent_s[kind] = spent_s.get(kind, 0.0) + used_s
    return spent_s


def resident_mb(pid: int) -> float:
    """Resident memory of a running process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def datagrams_dropped(pid: int) -> int:
    """Datagrams the kernel threw away because a socket of the process was full."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    rows = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
    rows += Path(f"/proc/{pid}/net/udp6").read_text().splitlines()[1:]
    return sum(int(row.split()[12]) for row in rows if row.split()[9] in sockets)
