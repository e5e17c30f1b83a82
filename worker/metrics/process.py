"""What this process uses of the machine."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """CPU seconds since the start, and memory that is resident now."""

    cpu_s: float
    resident_bytes: int


def process_usage() -> ProcessUsage:
    """The usage of this very moment, as Linux counts it; children are not in it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return ProcessUsage(usage.ru_utime + usage.ru_stime, resident_pages * _PAGE_BYTES)
