"""The worker alone in a live room: cores by stage and memory, reception over loopback included.

    python benchmarks/live.py [--people 2 9 25] [--codec vp8] [--template 1280x720_30_1710]

Up to nine people send 360p30, more send 180p15, as an SFU's small layers. Everything counts but
the worker's start. `peers.py` puts the same figures beside other programs'.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench import live
from bench.cases import CODECS, LARGE, SMALL, TEMPLATES, Case
from bench.report import STAGES


async def record(case: Case, seconds: int) -> live.LiveRun:
    """One recording, thrown away."""
    with tempfile.TemporaryDirectory() as directory:
        async with live.room_with([case.scenario]) as url:
            return await live.record(url, case.template, seconds, Path(directory))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[2, 9, 25])
    parser.add_argument("--codec", default=CODECS[0], choices=CODECS)
    parser.add_argument("--template", default=TEMPLATES[0])
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    heads = ("people", "cores", *STAGES, "peak MB", "packets/s", "late", "lag ms", "dropped")
    print(options.template, options.codec)
    print(" ".join(f"{head:>9}" for head in heads))
    for people in options.people:
        size = LARGE if people <= 9 else SMALL
        run = asyncio.run(
            record(Case(people, size, options.codec, options.template), options.seconds)
        )
        cells = (
            f"{people}",
            f"{run.cores:.2f}",
            *(f"{run.stages.get(stage, 0):.2f}" for stage in STAGES),
            f"{run.peak_memory_mb:.0f}",
            f"{run.packets_per_s:.0f}",
            f"{run.late_frames}",
            f"{run.worst_lag_ms:.0f}",
            f"{run.datagrams_dropped}",
        )
        print(" ".join(f"{cell:>9}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
