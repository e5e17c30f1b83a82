"""A worker process in a served room with synthetic people, in real time over loopback.

    python benchmarks/live.py [--people 2 9 25] [--template 1280x720_30_1710]

Prints cores of the worker alone (everything: reception, decoding, composing, mixing, encoding,
writing), without its start: the difference between a long and a short recording. The people
run in a process of their own. Up to nine send 360p30, more send 180p15, as an SFU's small layers.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from worker.cli.casting import cast_process
from worker.testroom.server import serve_room

SHORT_S, LONG_S = 5, 25
SMALL = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\n"


async def record(directory: str, url: str, template: str, seconds: int) -> dict[str, Any]:
    """The result of one recording."""
    document = {
        "room": {"kind": "testroom", "url": url},
        "mix_param": {
            "room_id": "bench",
            "encode_template": template,
            "layout_template": "nine_grids_view",
        },
        "output": {"directory": directory, "name": f"{seconds}"},
        "max_duration_s": seconds,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "run", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(json.dumps(document).encode())
    return read_result(Path(directory, f"{seconds}.json"))


def read_result(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text())
    return result


async def measure(people: int, template: str) -> None:
    names = "".join(f'[[participants]]\nuser_id = "user-{n}"\n' for n in range(people))
    scenario = (SMALL if people > 9 else "") + names
    with tempfile.TemporaryDirectory() as directory:
        async with (
            serve_room() as address,
            cast_process(scenario, url=address.ws_url, room_id="bench"),
        ):
            short = await record(directory, address.ws_url, template, SHORT_S)
            long = await record(directory, address.ws_url, template, LONG_S)
    cores = (long["process"]["cpu_s"] - short["process"]["cpu_s"]) / (LONG_S - SHORT_S)
    print(
        f"{people:>8} {cores:>8.2f} {long['process']['peak_memory_mb']:>8.0f} "
        f"{long['video']['late_frames']:>8} {long['video']['worst_lag_ms']:>8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[2, 9, 25])
    parser.add_argument("--template", default="1280x720_30_1710")
    options = parser.parse_args()
    print(options.template)
    print(f"{'people':>8} {'cores':>8} {'peak MB':>8} {'late':>8} {'lag ms':>8}")
    for people in options.people:
        asyncio.run(measure(people, options.template))


if __name__ == "__main__":
    main()
