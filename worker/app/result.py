"""The result file, claimed before a job and written after it."""

import json
import resource
from pathlib import Path
from typing import Any

from worker.core.spec import JobSpec
from worker.engine.thread_cpu import ThreadCpu
from worker.errors import DestinationError


def claim(spec: JobSpec) -> tuple[Path, Path]:
    """Paths of the recording and of the result, which exists from now on.

    Raises `DestinationError` when one of them did already, or the directory cannot be written.
    """
    recording_path = spec.directory / f"{spec.name}.mp4"
    result_path = spec.directory / f"{spec.name}.json"
    try:
        spec.directory.mkdir(parents=True, exist_ok=True)
        if recording_path.exists() or result_path.exists():
            raise DestinationError(f"{spec.name} exists already in the output directory")
        # Claimed at once: a second job of the same name must not get as far as recording.
        result_path.touch(exist_ok=False)
    except OSError as exc:
        raise DestinationError(f"the output directory cannot be written: {exc.strerror}") from exc
    return recording_path, result_path


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Whole or not at all: a reader never sees half a result."""
    temporary = path.with_suffix(".json.part")
    temporary.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def process_facts(thread_cpu: ThreadCpu) -> dict[str, Any]:
    """What this process has used so far; a worker runs one job, so this is the job's cost."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "cpu_s": round(cpu_s, 2),
        "peak_memory_mb": round(_peak_memory_mb()),
        "threads": thread_cpu.by_kind(cpu_s),
    }


def _peak_memory_mb() -> float:
    """The most this process ever had resident.

    Not `ru_maxrss`, which begins with what the process had that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    peak_kb = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return int(peak_kb) / 1024
