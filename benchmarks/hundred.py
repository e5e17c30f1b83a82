"""A room of 100 beside a room of 25: what the people cost who are neither seen nor heard.

    python benchmarks/hundred.py [--people 25 100] [--rounds 3] [--seconds 10] [--silence left-out]

Everybody publishes 180p15 VP8 and a microphone; three of them speak, 25 are shown. Every packet
says how loud it is (RFC 6464). The people are spread over several processes. Whoever does not
speak leaves silence out, as browsers do because the worker asks them to, or sends it in full.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
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
SILENCE = ("left-out", "sent")
WARM_UP_S = 10.0
"""A hundred handshakes are over by then."""


async def record(people: int, silence: str, template_name: str, seconds: int) -> live.LiveRun:
    """One recording of a room of *people*."""
    template = parse_template(template_name)
    assert template is not None
    scenarios = [
        scenario(
            min(A_PROCESS, people - first),
            camera=camera(SMALL, "vp8"),
            first=first,
            speakers=SPEAKERS,
            dtx=silence == "left-out",
        )
        for first in range(0, people, A_PROCESS)
    ]
    with tempfile.TemporaryDirectory() as directory:
        async with live.room_with(scenarios) as url:
            return await live.record(url, template, seconds, Path(directory), warm_up_s=WARM_UP_S)


def measure(
    rooms: Sequence[int], silences: Sequence[str], template: str, rounds: int, seconds: int
) -> dict[str, Any]:
    """Interleaved runs of every room."""
    runs: dict[str, dict[int, list[dict[str, Any]]]] = {
        silence: {people: [] for people in rooms} for silence in silences
    }
    for _ in range(rounds):
        for silence in silences:
            for people in rooms:
                facts = asdict(asyncio.run(record(people, silence, template, seconds)))
                del facts["recording"]
                runs[silence][people].append(facts)
                print(_line(people, silence, facts), flush=True)
    return {
        "machine": machine.description(),
        "template": template,
        "bar": BAR,
        "silence": {silence: _summary(of_rooms) for silence, of_rooms in runs.items()},
    }


def _summary(runs: Mapping[int, list[dict[str, Any]]]) -> dict[str, Any]:
    medians = {
        people: statistics.median(run["cores"] for run in facts) for people, facts in runs.items()
    }
    ratio = medians[max(medians)] / medians[min(medians)]
    return {"runs": runs, "cores": medians, "ratio": round(ratio, 3)}


def _line(people: int, silence: str, run: dict[str, Any]) -> str:
    stages = " ".join(f"{stage} {cores:.2f}" for stage, cores in run["stages"].items())
    return (
        f"{people:>4} people, silence {silence}: {run['cores']:.2f} cores ({stages}) "
        f"{run['peak_memory_mb']:.0f} MB, {run['packets_per_s']:.0f} packets/s, "
        f"{run['late_frames']} late, {run['datagrams_dropped']} dropped"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--silence", choices=SILENCE, nargs="+", default=SILENCE)
    parser.add_argument("--template", default=TEMPLATES[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    document = measure(
        options.people, options.silence, options.template, options.rounds, options.seconds
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    for silence, summary in document["silence"].items():
        print(f"silence {silence}: ratio {summary['ratio']:.2f}, allowed {BAR}")


if __name__ == "__main__":
    main()
