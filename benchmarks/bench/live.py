"""The worker itself: a process of its own in a served room, people in other processes, real time.

Everything counts that it does while it records: sockets, SRTP, RTP, decoding, composing, mixing,
encoding, writing. Its start does not: CPU is read twice while it runs.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import processes
from worker.cli.casting import cast_process
from worker.core.template import EncodeTemplate
from worker.testroom.server import serve_room

ROOM = "bench"
WARM_UP_S = 2.0
"""Recorded before the first reading: keyframes, first pictures, buffers that fill."""
_TAIL_S = 2.0
"""Recorded after the last reading, which is up to a second late."""
_JOIN_TIMEOUT_S = 60
_STAGES = {
    "main": "receive",  # and everything else the event loop does: signalling, pacing
    "receive": "receive",
    "decode": "decode",
    "compose": "compose",
    "encode": "encode",
    "sound": "sound",
    "mp4": "write",
    "record-mp4": "write",
    "record-hls": "write",
    "courier": "deliver",
    "file-store": "deliver",
    "events": "deliver",
    "lookup": "deliver",
}
"""What the worker's threads are for; those without a name of ours belong to the encoder."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What one recording used and how it went."""

    cores: float
    stages: dict[str, float]
    """Cores by kind of thread, as `_STAGES` names them."""
    peak_memory_mb: float
    resident_mb: float
    packets_per_s: float
    datagrams_dropped: int
    late_frames: int
    duplicated_frames: int
    """Repeated instead of composed, because the machine was too slow: the figures are too low."""
    worst_lag_ms: float
    frames: int
    recording: Path


@dataclass(frozen=True, slots=True)
class _Reading:
    cpu_s: dict[str, float]
    frames: int


@asynccontextmanager
async def room_with(scenarios: Sequence[str]) -> AsyncIterator[str]:
    """Inside, the people of all *scenarios* are in the room at the yielded address."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serve_room())
        for scenario in scenarios:
            await stack.enter_async_context(
                cast_process(scenario, url=address.ws_url, room_id=ROOM)
            )
        yield address.ws_url


async def record(
    url: str,
    template: EncodeTemplate,
    seconds: float,
    directory: Path,
    *,
    warm_up_s: float = WARM_UP_S,
    more: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
) -> LiveRun:
    """Record the room; CPU is measured over *seconds* after the warm-up.

    *more* adds to the job document, *settings* to the environment.
    """
    document = {
        "room": {"kind": "testroom", "url": url},
        "mix_param": {
            "room_id": ROOM,
            "encode_template": template.name,
            "layout_template": "nine_grids_view",
        },
        "output": {"directory": str(directory), "name": "live"},
        "max_duration_s": warm_up_s + seconds + _TAIL_S,
        **(more or {}),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "run", "-"),
        env=os.environ | (settings or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(json.dumps(document).encode())
    process.stdin.close()
    async with asyncio.TaskGroup() as group:
        async with asyncio.timeout(_JOIN_TIMEOUT_S):
            first = await _reading_at(process, warm_up_s)
        last = await _reading_at(process, warm_up_s + seconds)
        dropped = processes.datagrams_dropped(process.pid)
        resident_mb = processes.resident_mb(process.pid)
        # Read on, or the pipe fills up and the worker waits.
        said = group.create_task(process.stderr.read())
    if await process.wait():
        raise RuntimeError(f"the worker failed: {said.result().decode()[-2000:]}")
    result = json.loads((directory / "live.json").read_text())
    tracks = [track for person in result["participants"] for track in person["tracks"]]
    stages = _stages(first, last, template.fps)
    return LiveRun(
        cores=sum(stages.values()),
        stages=stages,
        peak_memory_mb=result["process"]["peak_memory_mb"],
        resident_mb=resident_mb,
        packets_per_s=sum(track["packets_received"] for track in tracks) / result["duration_s"],
        datagrams_dropped=dropped,
        duplicated_frames=result["video"]["duplicated_frames"],
        late_frames=result["video"]["late_frames"],
        worst_lag_ms=result["video"]["worst_lag_ms"],
        frames=result["video"]["frames"],
        recording=directory / "live.mp4",
    )


def _stages(first: _Reading, last: _Reading, fps: int) -> dict[str, float]:
    """Cores by what they are for: CPU between two readings per second of frames made between them.

    Per frame and not per second of time, so that a worker that was late is not thought cheap.
    """
    seconds = (last.frames - first.frames) / fps
    stages: dict[str, float] = {}
    for name, used_s in last.cpu_s.items():
        stage = _STAGES.get(name, "encode")
        spent_s = used_s - first.cpu_s.get(name, 0.0)
        stages[stage] = stages.get(stage, 0.0) + spent_s / seconds
    return stages


async def _reading_at(process: asyncio.subprocess.Process, recorded_s: float) -> _Reading:
    """CPU and frames when the worker, which reports once a second, has recorded so much."""
    assert process.stderr is not None
    async for line in process.stderr:
        if line.startswith(b"{"):
            report = json.loads(line)
            if report["recorded_s"] >= recorded_s:
                return _Reading(processes.cpu_by_thread(process.pid), report["frames"])
    raise RuntimeError("the worker ended before it had recorded as much as it should")
