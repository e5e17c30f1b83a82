"""What delivering costs: MP4 and HLS into a bucket and an RTMP push, beside a plain file.

    python benchmarks/deliver.py [--rounds 3] [--seconds 20] [--people 9]

The same live room, the two kinds of job by turns, real servers (SeaweedFS, nginx) on loopback.
Cores are the worker's alone, from its start-up on, as in `peers.py`; the table shows medians.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import live
from bench.cases import TEMPLATES, chosen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the servers of the tests

from tests.support.delivering import environment  # noqa: E402
from tests.support.rtmp import rtmp_server  # noqa: E402
from tests.support.s3 import BUCKET, s3_server  # noqa: E402

MOST_RATIO = 1.1
"""What delivering may cost."""


def delivered(rtmp_url: str, name: str) -> Mapping[str, Any]:
    """What a job document needs to go everywhere."""
    return {
        "job_id": name,
        "record": {
            "obs_addr": {"location": "here", "bucket": BUCKET, "object": f"{name}/"},
            "record_formats": ["MP4", "HLS"],
            "hls_config": {"record_slice_duration": 6},
            "mp4_config": {},
        },
        "publish_param": {"rtmp_urls": [rtmp_url]},
    }


async def measure(people: int, seconds: int, rounds: int) -> dict[str, list[live.LiveRun]]:
    """All runs by kind of job."""
    (case,) = chosen([people], ["vp8"], TEMPLATES[:1])[:1]
    runs: dict[str, list[live.LiveRun]] = {"file": [], "delivered": []}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        async with (
            s3_server(root / "s3") as s3,
            rtmp_server(root / "rtmp") as rtmp,
            live.room_with([case.scenario]) as url,
        ):
            settings = environment(root / "spool", s3.endpoint)
            for number in range(rounds):
                for kind in runs:
                    output = root / f"{kind}-{number}"
                    more = delivered(rtmp.url(f"k{number}"), output.name)
                    run = await live.record(
                        url,
                        case.template,
                        seconds,
                        output,
                        more=more if kind == "delivered" else None,
                        settings=settings,
                    )
                    runs[kind].append(run)
                    print(f"{kind} {number + 1}: {run.cores:.3f} cores {_stages(run)}", flush=True)
    return runs


def _stages(run: live.LiveRun) -> str:
    return ", ".join(f"{name} {cores:.3f}" for name, cores in sorted(run.stages.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--people", type=int, default=9)
    arguments = parser.parse_args()
    runs = asyncio.run(measure(arguments.people, arguments.seconds, arguments.rounds))
    medians = {kind: statistics.median(run.cores for run in found) for kind, found in runs.items()}
    ratio = medians["delivered"] / medians["file"]
    late = sum(run.late_frames for found in runs.values() for run in found)
    print(
        f"file {medians['file']:.3f}, delivered {medians['delivered']:.3f} cores: "
        f"{ratio:.3f} times (at most {MOST_RATIO}); {late} late frames"
    )


if __name__ == "__main__":
    main()
