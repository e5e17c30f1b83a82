"""The worker beside ffmpeg and GStreamer: CPU seconds per second of output, in one run.

    python benchmarks/peers.py --quick          a few cases, one round, some six minutes
    python benchmarks/peers.py                  everything, half an hour
    python benchmarks/peers.py --add            more rounds for the file there is
    python benchmarks/peers.py --render FILE    table and chart of a run again

The worker records a served room over loopback, everything included that reception costs. The others
do the same work from files of the very same streams: decode, scale, put together, mix, encode with
the same x264 settings (compared as x264 wrote them down), write MP4. Each has two ways of doing
it, of which the better one counts. What starting costs is taken off on all sides. A round goes
through all cases, each of them worker, ffmpeg, GStreamer, alone; the table shows medians.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import alone, ffmpeg, gstreamer, live, machine, processes, recording, x264
from bench.cases import CODECS, TEMPLATES, Case, chosen
from bench.report import render
from bench.streams import write_streams

RESULTS = Path(__file__).parent / "results"
PEERS = {"ffmpeg": ffmpeg, "gstreamer": gstreamer}
START_S = 1
"""Streams of this length are opened for a single frame of output: what starting costs."""
START_RUNS = 3
LOOK_AT_S = 1.5
QUICK = (
    *chosen([1, 4, 9, 16, 25], ["vp8"], TEMPLATES[:1]),
    *chosen([9], ["h264"], TEMPLATES[:1]),
    *chosen([9], ["vp8"], TEMPLATES[1:]),
)


class Comparison:
    """All runs of one case."""

    def __init__(self, case: Case, seconds: int, directory: Path, *, paced: bool) -> None:
        self._case = case
        self._seconds = seconds
        self._paced = paced
        self._frames = seconds * case.template.fps
        self._directory = directory
        self._short = write_streams(case, START_S, directory / "short")
        self._long = write_streams(case, seconds, directory / "long")
        self._best: dict[str, str] = {}
        self.result: dict[str, Any] = {
            **_facts(case),
            "worker": [],
            "alone": [],
            **{name: [] for name in PEERS},
            "variant": self._best,
            "start_cpu_s": {},
            "other_variant": {},
        }

    def round(self) -> None:
        """Everybody once."""
        self.result["worker"].append(self._worker())
        for name, peer in PEERS.items():
            self.result[name].append(self._peer(name, peer))
        self.result["alone"].append(alone.measure(self._case, max(2, self._seconds // 3)))

    def compare(self) -> None:
        """That everybody did the same: settings, and who is where in the picture."""
        ours = self._directory / "worker.mp4"
        settings = x264.settings_of(ours)
        shown = self._saved(ours)
        self.result["x264"] = {"worker": settings["core"]}
        self.result["likeness_db"] = {}
        for name in PEERS:
            file = self._directory / f"{name}.mp4"
            theirs = x264.settings_of(file)
            if different := x264.differences(settings, theirs):
                raise RuntimeError(f"{name} encodes otherwise: {different}")
            self.result["x264"][name] = theirs["core"]
            self.result["likeness_db"][name] = recording.likeness_db(shown, self._saved(file))

    def _worker(self) -> dict[str, Any]:
        run = asyncio.run(self._record())
        run.recording.rename(self._directory / "worker.mp4")
        (self._directory / "live.json").unlink()
        seen = recording.content_of(self._directory / "worker.mp4")
        if seen.frames != run.frames:
            raise RuntimeError(f"{seen.frames} frames in a recording of {run.frames}")
        facts = asdict(run)
        del facts["recording"]
        return facts

    async def _record(self) -> live.LiveRun:
        case = self._case
        async with live.room_with([case.scenario]) as url:
            return await live.record(url, case.template, self._seconds, self._directory)

    def _peer(self, name: str, peer: ModuleType) -> dict[str, float]:
        """The better variant; which one that is the first round tells."""
        if name in self._best:
            return self._peer_run(name, peer, self._best[name])
        runs = {
            variant: self._peer_run(name, peer, variant)
            for variant in reversed(_variants(self._case, peer))
        }
        best = self._best[name] = min(runs, key=lambda variant: runs[variant]["cores"])
        others = {variant: run["cores"] for variant, run in runs.items() if variant != best}
        self.result["other_variant"][name] = others
        return runs[best]

    def _peer_run(self, name: str, peer: ModuleType, variant: str) -> dict[str, float]:
        start = self._start_s(name, peer, variant)
        output = self._directory / f"{name}.mp4"
        spent = processes.run(
            peer.command(self._case, self._long, self._frames, output, variant, paced=self._paced)
        )
        seen = recording.content_of(output)
        size = self._case.template.size
        if (seen.frames, seen.width, seen.height) != (self._frames, size.width, size.height):
            raise RuntimeError(f"{variant} made {seen} instead of {self._frames} of {size}")
        return {
            "cores": (spent.cpu_s - start) / self._seconds,
            "peak_memory_mb": spent.peak_memory_mb,
        }

    def _start_s(self, name: str, peer: ModuleType, variant: str) -> float:
        """CPU of everything but the frames, measured once."""
        starts = self.result["start_cpu_s"].setdefault(name, {})
        if variant not in starts:
            output = self._directory / "start.mp4"
            command = peer.command(self._case, self._short, 1, output, variant, paced=False)
            starts[variant] = min(processes.run(command).cpu_s for _ in range(START_RUNS))
        return float(starts[variant])

    def _saved(self, file: Path) -> Path:
        picture = file.with_suffix(".png")
        recording.save_frame(file, LOOK_AT_S, picture)
        return picture


def measure(
    cases: Sequence[Case], rounds: int, seconds: int, *, paced: bool, keep: Path | None
) -> dict[str, Any]:
    """Every case, with what is needed to judge the figures.

    A round goes through all cases, so that a slow minute spoils one round of a case, not all.
    What a round wrote is compared at once: settings that differ end the run at its first case.
    """
    facts = machine.description()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) if keep is None else keep
        comparisons = [
            Comparison(case, seconds, directory / _slug(case), paced=paced) for case in cases
        ]
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", flush=True)
            for case, comparison in zip(cases, comparisons, strict=True):
                comparison.round()
                comparison.compare()
                print(_line(case, comparison.result), flush=True)
    results = [comparison.result for comparison in comparisons]
    return {
        "machine": facts,
        "seconds": seconds,
        "rounds": rounds,
        "paced": paced,
        "cases": results,
    }


def begun(path: Path, cases: Sequence[Case], seconds: int, *, paced: bool) -> dict[str, Any]:
    """What was measured before. Raises `ValueError` unless it was just these cases and so long."""
    document: dict[str, Any] = json.loads(path.read_text())
    if (document["seconds"], document["paced"]) != (seconds, paced):
        raise ValueError("rounds of another kind cannot be added")
    wanted = [_facts(case) for case in cases]
    if [{key: case[key] for key in wanted[0]} for case in document["cases"]] != wanted:
        raise ValueError("other cases cannot be added")
    return document


def added(more: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """*document* with the rounds of *more*, of the same cases in the same order."""
    for case, others in zip(document["cases"], more["cases"], strict=True):
        for name in ("worker", "alone", *PEERS):
            case[name] += others[name]
    return document | {"machine": more["machine"], "rounds": document["rounds"] + more["rounds"]}


def _facts(case: Case) -> dict[str, Any]:
    """What tells a case from the others."""
    return {
        "people": case.people,
        "source": f"{case.size.width}x{case.size.height}_{case.source_fps}",
        "codec": case.codec,
        "template": case.template_name,
    }


def _variants(case: Case, peer: ModuleType) -> Sequence[str]:
    # One picture of the canvas's shape needs nobody to put it together.
    return peer.VARIANTS[:1] if case.people == 1 else peer.VARIANTS


def _line(case: Case, result: dict[str, Any]) -> str:
    figures = {
        name: statistics.median(run["cores"] for run in result[name]) for name in ("worker", *PEERS)
    }
    better = min(figures[name] for name in PEERS)
    ratio = figures["worker"] / better
    return f"{case.name:44} " + " ".join(
        (*(f"{name} {cores:.2f}" for name, cores in figures.items()), f"ratio {ratio:.2f}")
    )


def _slug(case: Case) -> str:
    return case.name.replace(" -> ", "-").replace(" ", "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cases, one round")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 9, 16, 25])
    parser.add_argument("--codecs", nargs="+", default=CODECS, choices=CODECS)
    parser.add_argument("--templates", nargs="+", default=TEMPLATES)
    parser.add_argument("--rounds", type=int, help="3, with --quick 1")
    parser.add_argument("--seconds", type=int, help="of each run: 5, with --quick 6")
    parser.add_argument(
        "--paced", action="store_true", help="the others work at the pace of time too"
    )
    parser.add_argument("--keep", type=Path, help="directory for streams, recordings and pictures")
    parser.add_argument("--add", action="store_true", help="keep the rounds that are in the file")
    parser.add_argument("--output", type=Path, default=RESULTS / "peers.json")
    parser.add_argument("--render", type=Path, metavar="FILE", help="measure nothing")
    options = parser.parse_args()
    if options.render:
        output = options.render
    else:
        cases = (
            QUICK if options.quick else chosen(options.people, options.codecs, options.templates)
        )
        rounds = options.rounds or (1 if options.quick else 3)
        seconds = options.seconds or (6 if options.quick else 5)
        output = options.output
        before = begun(output, cases, seconds, paced=options.paced) if options.add else None
        result = measure(cases, rounds, seconds, paced=options.paced, keep=options.keep)
        if before is not None:
            result = added(result, before)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(result, indent=1) + "\n")
    for written in render(output):
        print(written)


if __name__ == "__main__":
    main()
