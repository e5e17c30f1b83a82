"""Tells FFmpeg where gathering is slow, so that it scales in another way.

FFmpeg's horizontal scaler for AVX2 fetches pixels with gather instructions unless it knows the
processor to be slow at them. It knows that of AMD's up to Zen 3. Newer ones still take a third
longer than its scaler without, and so do Intel's where microcode closes a leak of theirs.
"""

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

SLOW_GATHER = 0x2000000
"""AV_CPU_FLAG_SLOW_GATHER of libavutil/cpu.h, for x86."""

_VENDOR = "AuthenticAMD"
_LEAK = Path("/sys/devices/system/cpu/vulnerabilities/gather_data_sampling")


@cache
def avoid_slow_gathers() -> bool:
    """For this process and every scaler made from now on; whether there was reason to.

    PyAV has no call for it, so libavutil is told directly.
    """
    if not is_slow(platform.machine(), _read(Path("/proc/cpuinfo")), _read(_LEAK)):
        return False
    for path in loaded("libavutil"):
        try:
            avutil = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
            avutil.av_force_cpu_flags(avutil.av_get_cpu_flags() | SLOW_GATHER)
        except (OSError, AttributeError):
            continue  # costs a few hundredths of a core, no more
    return True


def is_slow(machine: str, cpuinfo: str, leak: str) -> bool:
    """What Linux says of the processor and of its leak through gathering ("Mitigation: ...")."""
    if machine != "x86_64":
        return False
    return _VENDOR in cpuinfo or leak.startswith("Mitigation")


def loaded(name: str) -> set[str]:
    """Paths of the shared libraries called *name* that this process has mapped."""
    maps = (line.split(maxsplit=5) for line in _read(Path("/proc/self/maps")).splitlines())
    return {
        fields[5] for fields in maps if len(fields) > 5 and name in fields[5].rpartition("/")[2]
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
