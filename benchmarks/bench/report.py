"""A run's JSON as a Markdown table and a chart."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.alone import BOUND
from bench.chart import Bar, Group, draw

STAGES = ("receive", "decode", "compose", "sound", "encode", "write")
PEERS = ("ffmpeg", "gstreamer")


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one case; cores are CPU seconds per second of output."""

    people: int
    source: str
    codec: str
    template: str
    worker: float
    stages: Mapping[str, float]
    peers: Mapping[str, float]
    least_ratio: float
    """The least the worker took in any round over the least one of the others took."""
    bound: float
    memory_mb: float
    packets_per_s: float
    late: int
    dropped: int
    kept_up: bool
    """Whether the machine was fast enough for real time; else the figures are of no use."""

    @property
    def ratio(self) -> float:
        """The worker over the better of the others."""
        return self.worker / min(self.peers.values())

    @property
    def verdict(self) -> str:
        return f"{self.ratio:.2f}" if self.kept_up else "too slow"

    @property
    def label(self) -> str:
        return f"{self.people} x {self.source}"


def rows_of(document: Mapping[str, Any]) -> Sequence[Row]:
    """One row per case."""
    return [_row(case) for case in document["cases"]]


def render(path: Path) -> Sequence[Path]:
    """Write table and chart beside the JSON at *path*."""
    document = json.loads(path.read_text())
    rows = rows_of(document)
    table, chart = path.with_suffix(".md"), path.with_suffix(".png")
    table.write_text(_markdown(document, rows))
    draw(
        title="CPU seconds per second of output, median",
        subtitle=_machine_line(document["machine"]),
        panels=[
            [_group(row) for row in rows if row.template == template]
            for template in dict.fromkeys(row.template for row in rows)
        ],
        path=chart,
    )
    return table, chart


def _row(case: Mapping[str, Any]) -> Row:
    runs = case["worker"]
    return Row(
        people=case["people"],
        source=_short(case["source"]),
        codec={"vp8": "VP8", "h264": "H.264", "vp9": "VP9"}[case["codec"]],
        template=case["template"],
        worker=statistics.median(run["cores"] for run in runs),
        stages={
            stage: statistics.median(run["stages"].get(stage, 0.0) for run in runs)
            for stage in STAGES
        },
        peers={name: statistics.median(run["cores"] for run in case[name]) for name in PEERS},
        least_ratio=_least(runs) / min(_least(case[name]) for name in PEERS),
        bound=statistics.median(sum(run[stage] for stage in BOUND) for run in case["alone"]),
        memory_mb=max(run["peak_memory_mb"] for run in runs),
        packets_per_s=statistics.median(run["packets_per_s"] for run in runs),
        late=sum(run["late_frames"] for run in runs),
        dropped=sum(run["datagrams_dropped"] for run in runs),
        kept_up=not any(run["duplicated_frames"] for run in runs),
    )


def _least(runs: Sequence[Mapping[str, Any]]) -> float:
    return min(float(run["cores"]) for run in runs)


def _short(source: str) -> str:
    """ "640x360_30" as 360p30."""
    size, _, fps = source.partition("_")
    return f"{size.partition('x')[2]}p{fps}"


def _markdown(document: Mapping[str, Any], rows: Sequence[Row]) -> str:
    lines = [
        "# The worker beside ffmpeg and GStreamer",
        "",
        "CPU seconds (user + system) per second of output; medians of "
        f"{document['rounds']} interleaved rounds of {document['seconds']} s. The worker records a "
        "live room over loopback, so sockets, SRTP and RTP are in its figure; the others read the "
        "same streams from files. Same x264 settings everywhere. *Ratio*: worker / better of the "
        "others. *Least*: the same of the least figures of any round, since neighbours on the "
        "machine only add. *Bound*: decoding and encoding alone."
        + (" The others were held to the pace of time." if document["paced"] else ""),
        "",
        _machine_line(document["machine"]),
    ]
    for template in dict.fromkeys(row.template for row in rows):
        lines += ["", f"## {template}", "", *_table([r for r in rows if r.template == template])]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    heads = (
        *("people", "codec", "**worker**", "ffmpeg", "GStreamer", "ratio", "least", "bound"),
        *STAGES,
        *("packets/s", "peak MB", "late", "dropped"),
    )
    body = [
        (
            row.label,
            row.codec,
            f"**{row.worker:.2f}**",
            *(f"{row.peers[name]:.2f}" for name in PEERS),
            row.verdict,
            f"{row.least_ratio:.2f}",
            f"{row.bound:.2f}",
            *(f"{row.stages[stage]:.2f}".lstrip("0") for stage in STAGES),
            f"{row.packets_per_s:.0f}",
            f"{row.memory_mb:.0f}",
            str(row.late),
            str(row.dropped),
        )
        for row in rows
    ]
    rule = ("---", "---", *("--:" for _ in heads[2:]))
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *body)]


def _group(row: Row) -> Group:
    width, _, rest = row.template.partition("_")
    return Group(
        label=row.label,
        detail=f"{row.codec} to {width.partition('x')[2]}p{rest.partition('_')[0]}",
        bars=(
            Bar("worker", tuple(row.stages[stage] for stage in STAGES)),
            *(Bar(name, (row.peers[name],)) for name in PEERS),
        ),
        mark=row.bound,
        note=row.verdict + (" x" if row.kept_up else ""),
    )


def _machine_line(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; Python "
        f"{machine['python']}, PyAV {machine['packages']['av']}, ffmpeg {machine['ffmpeg']}, "
        f"GStreamer {machine['gstreamer']}; commit {machine['commit']}, {machine['date']}"
    )
