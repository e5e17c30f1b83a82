"""Fits the cost model of `mixworker capacity` to the runs of peers.py.

    python benchmarks/fit.py [benchmarks/results/peers.json] [--check]

Every stage is fitted by itself, with coefficients that cannot be negative, to relative errors.
Prints predicted and measured cores and memory: of all runs, and of runs a fit has not seen (each
number of people left out in turn). Writes worker/app/capacity.json unless --check is given.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from worker.app.costs import COEFFICIENTS, parse_coefficients
from worker.core.capacity import Feed, Load, Work, estimate, work_of
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.template import parse_template

RESULTS = Path(__file__).parent / "results" / "peers.json"
CODECS = {"vp8": Codec.VP8, "h264": Codec.H264}
KBPS = {"640x360_30": 500, "320x180_15": 150}
LIMIT = 0.2

_Feature = Callable[[Work], float]
FEATURES: Mapping[str, Mapping[str, _Feature]] = {
    "receive": {
        "receive_fixed": lambda work: 1.0,
        "receive_person": lambda work: work.people,
        "receive_packet": lambda work: work.packets_per_s,
    },
    "decode": {
        "decode_frame": lambda work: work.decoded_frames_per_s,
        "decode_mp.VP8": lambda work: (work.decoded_mp_per_s or {}).get(Codec.VP8, 0.0),
        "decode_mp.H264": lambda work: (work.decoded_mp_per_s or {}).get(Codec.H264, 0.0),
    },
    "compose": {
        "compose_scaled_mp": lambda work: work.scaled_mp_per_s,
        "compose_painted_mp": lambda work: work.painted_mp_per_s,
        "compose_tile": lambda work: work.tiles_per_s,
    },
    "sound": {
        "sound_fixed": lambda work: 1.0,
        "sound_person": lambda work: work.people,
    },
    "encode": {"encode_mp": lambda work: work.encoded_mp_per_s},
    "write": {"write_output": lambda work: work.outputs},
    "memory": {
        "memory_fixed_mb": lambda work: 1.0,
        "memory_person_mb": lambda work: work.people,
        "memory_shown_mp_mb": lambda work: work.shown_mp,
        "memory_canvas_mp_mb": lambda work: work.canvas_mp,
    },
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: what there was to do, and what it took."""

    name: str
    load: Load
    stages: Mapping[str, float]
    memory_mb: float

    @property
    def cores(self) -> float:
        return sum(self.stages[stage] for stage in FEATURES if stage != "memory")


def read(path: Path) -> Sequence[Measured]:
    """Every case in which the worker kept up; frames that were repeated would cost too little."""
    runs = []
    for case in json.loads(path.read_text())["cases"]:
        measured = _measured(case)
        if any(run["duplicated_frames"] for run in case["worker"]):
            print(f"left out, the machine was too slow: {measured.name}")
        else:
            runs.append(measured)
    return runs


def fit(runs: Sequence[Measured]) -> dict[str, Any]:
    """The coefficients that fit *runs* best, as the data file has them."""
    found: dict[str, Any] = {}
    for stage, features in FEATURES.items():
        works = [work_of(run.load) for run in runs]
        wanted = np.array(
            [run.memory_mb if stage == "memory" else run.stages[stage] for run in runs]
        )
        # Relative to the whole, so that a stage counts as much as it matters in its run.
        weights = 1 / np.array([run.memory_mb if stage == "memory" else run.cores for run in runs])
        rows = np.array([[feature(work) for feature in features.values()] for work in works])
        values, _ = nnls(rows * weights[:, None], wanted * weights)
        found |= dict(zip(features, map(float, values), strict=True))
    per_codec = {name: found.pop(f"decode_mp.{name}") for name in ("VP8", "H264")}
    # Not measured here; the decoder is a little dearer than VP8's.
    per_codec["VP9"] = per_codec["VP8"] * 1.2
    return found | {"decode_mp": per_codec}


def _measured(case: Mapping[str, Any]) -> Measured:
    runs = case["worker"]
    size, _, fps = case["source"].partition("_")
    width, _, height = size.partition("x")
    feed = Feed(
        case["people"],
        CODECS[case["codec"]],
        Size(int(width), int(height)),
        int(fps),
        KBPS[case["source"]],
    )
    return Measured(
        name=f"{case['people']:>2} x {height}p{fps} {case['codec']:<4} -> {case['template']}",
        load=Load(case["people"], (feed,), case["people"], parse_template(case["template"])),
        stages={
            stage: statistics.median(run["stages"].get(stage, 0.0) for run in runs)
            for stage in FEATURES
            if stage != "memory"
        },
        memory_mb=statistics.median(run["peak_memory_mb"] for run in runs),
    )


def _print_errors(pairs: Sequence[tuple[Measured, Mapping[str, Any]]]) -> float:
    """Predicted and measured, and the worst error of cores."""
    worst = 0.0
    print(f"{'':46} {'cores':>6} {'model':>6} {'error':>6}   {'MB':>5} {'model':>5} {'error':>6}")
    for run, coefficients in pairs:
        told = estimate(run.load, parse_coefficients(coefficients))
        error = told.cores / run.cores - 1
        memory_error = told.memory_mb / run.memory_mb - 1
        worst = max(worst, abs(error), abs(memory_error))
        print(
            f"{run.name:46} {run.cores:6.2f} {told.cores:6.2f} {error:+6.0%}   "
            f"{run.memory_mb:5.0f} {told.memory_mb:5.0f} {memory_error:+6.0%}"
        )
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    runs = read(options.results)
    coefficients = fit(runs)
    print("Fitted to all runs:")
    _print_errors([(run, coefficients) for run in runs])
    print("\nEach number of people predicted from the others:")
    unseen = [
        (run, fit([other for other in runs if other.load.people != run.load.people]))
        for run in runs
    ]
    worst = _print_errors(unseen)
    print(f"\nworst error of an unseen run {worst:.0%}, allowed {LIMIT:.0%}")
    for name, value in coefficients.items():
        print(f"  {name} = {value}")
    if not options.check:
        COEFFICIENTS.write_text(json.dumps(coefficients, indent=1) + "\n")
        print(f"written to {COEFFICIENTS}")


if __name__ == "__main__":
    main()
