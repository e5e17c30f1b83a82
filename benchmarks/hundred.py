"""A room of 100 beside a room of 25: what the people cost who are neither seen nor heard.

    python benchmarks/hundred.py [--people 25 100] [--rounds 3] [--seconds 10]

Everybody publishes 180p15 VP8 and a microphone; three of them speak, 25 are shown. Every packet
says how loud it is (RFC 6464). The people are spread over several processes.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import live, machine
from bench.cases import SMALL, TEMPLATES, camera, scenario

from worker.core.template import parse_template

RESULTS = Path(__file__).parent / "results" / "hundred.json"
A_PROCESS = 25
SPEAKERS = 3
BAR = 1.3
WARM_UP_S = 10.0
"""A hundred handshakes are over by then."""


async def record(people: int, template_name: str, seconds: int) -> live.LiveRun:
    """One recording of a room of *people*."""
    template = parse_template(template_name)
    assert template is not None
    scenarios = [
        scenario(
            min(A_PROCESS, people - first),
            camera=camera(SMALL, "vp8"),
            first=first,
            speakers=SPEAKERS,
        )
        for first in range(0, people, A_PROCESS)
    ]
    with tempfile.TemporaryDirectory() as directory:
        async with live.room_with(scenarios) as url:
            return await live.record(url, template, seconds, Path(directory), warm_up_s=WARM_UP_S)


def measure(rooms: Sequence[int], template: str, rounds: int, seconds: int) -> dict[str, Any]:
    """Interleaved runs of every room."""
    document: dict[str, Any] = {"machine": machine.description(), "template": template}
    runs: dict[int, list[dict[str, Any]]] = {people: [] for people in rooms}
    for _ in range(rounds):
        for people in rooms:
            facts = asdict(asyncio.run(record(people, template, seconds)))
            del facts["recording"]
            runs[people].append(facts)
            print(_line(people, facts), flush=True)
    medians = {people: statistics.median(run["cores"] for run in runs[people]) for people in rooms}
    ratio = medians[max(rooms)] / medians[min(rooms)]
    return document | {"runs": runs, "cores": medians, "ratio": round(ratio, 3), "bar": BAR}


def _line(people: int, run: dict[str, Any]) -> str:
    stages = " ".join(f"{stage} {cores:.2f}" for stage, cores in run["stages"].items())
    return (
        f"{people:>4} people {run['cores']:.2f} cores ({stages}) {run['peak_memory_mb']:.0f} MB, "
        f"{run['packets_per_s']:.0f} packets/s, {run['late_frames']} late, "
        f"{run['datagrams_dropped']} dropped"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--template", default=TEMPLATES[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    document = measure(options.people, options.template, options.rounds, options.seconds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"ratio {document['ratio']:.2f}, allowed {BAR}")


if __name__ == "__main__":
    main()
