"""Where and with what a figure was measured."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import av

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("av", "numpy", "aiortc", "pylibsrtp")


def description() -> dict[str, object]:
    """Machine, versions and commit, as plain JSON values."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "ffmpeg_of_av": ".".join(map(str, av.library_versions["libavcodec"])) + " (libavcodec)",
        "ffmpeg": _first(r"ffmpeg version (\S+)", ["ffmpeg", "-version"]),
        "gstreamer": _first(r"version (\S+)", ["gst-launch-1.0", "--version"]),
    }


def _commit() -> str:
    name = _first(r"(\S+)", ["git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _said(["git", "-C", str(_ROOT), "status", "--porcelain", "--", "worker"])
    return f"{name} with changes" if changed.strip() else name


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _first(pattern: str, command: list[str]) -> str:
    found = re.search(pattern, _said(command))
    return found[1] if found else "unknown"


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
