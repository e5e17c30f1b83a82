"""What a job will need, before it runs: cores and memory, and how many fit a machine."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import typer

from worker.app.costs import known_coefficients
from worker.cli import console
from worker.core.capacity import (
    THREAD_LIMIT,
    Estimate,
    Feed,
    Load,
    estimate,
    load_of,
    usual_kbps,
)
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.spec import (
    GalleryLayout,
    Layout,
    MixSpec,
    ScreenShareLayout,
    Side,
)
from worker.core.template import EncodeTemplate, parse_template
from worker.errors import InvalidField
from worker.media.encode import EncoderSettings, encoder_threads

_CODECS = {"vp8": Codec.VP8, "vp9": Codec.VP9, "h264": Codec.H264}
_LAYOUTS: Mapping[str, Layout] = {
    "gallery": GalleryLayout(),
    "share-left": ScreenShareLayout(Side.LEFT),
    "share-right": ScreenShareLayout(Side.RIGHT),
}
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """The question, as typed. A job document's template and layout go before those here."""

    participants: int
    size: str
    fps: int
    codec: str
    kbps: int | None
    template: str
    layout: str
    cores: float | None
    memory_gb: float | None
    as_json: bool
    decoder_threads: int = 2
    encoder_threads: int = 0


def print_capacity(options: CapacityOptions, mix: MixSpec | None) -> None:
    """Print the answer; *mix* is a job document's. Raises `InvalidField`."""
    if mix is None:
        load = _load(options, _template(options.template), _layout(options.layout))
    else:
        load = _load(options, mix.template, mix.layout)
    needed = estimate(load, known_coefficients())
    if options.as_json:
        typer.echo(json.dumps(_document(options, load, needed), indent=2))
    else:
        console.print_facts(_title(load), _facts(options, load, needed))


def _load(options: CapacityOptions, template: EncodeTemplate | None, layout: Layout) -> Load:
    size = _size(options.size)
    codec = _CODECS.get(options.codec)
    if codec is None:
        raise InvalidField("--codec", f"is not one of {', '.join(_CODECS)}")
    kbps = options.kbps or usual_kbps(size, options.fps)
    cameras = Feed(options.participants, codec, size, options.fps, kbps)
    return load_of(template, layout, cameras)


def _title(load: Load) -> str:
    output = "sound only" if load.template is None else load.template.name
    return f"{load.people} participants to {output}"


def _facts(options: CapacityOptions, load: Load, needed: Estimate) -> dict[str, str]:
    stages = ", ".join(
        f"{stage} {cores:.2f}" for stage, cores in needed.stages.items() if cores >= 0.005
    )
    facts = {
        "cores": f"{needed.cores:.2f} on average ({stages})",
        "memory": f"{needed.memory_mb:.0f} MB",
        "set aside": f"{needed.advised_cores:.2f} cores, {needed.advised_memory_mb:.0f} MB",
    }
    if (slow := _too_slow(options, load, needed)) is not None:
        facts["warning"] = slow
    if options.cores is not None or options.memory_gb is not None:
        facts["fit this machine"] = f"{_jobs(options, needed)} such jobs"
    return facts


def _document(options: CapacityOptions, load: Load, needed: Estimate) -> dict[str, Any]:
    document: dict[str, Any] = {
        "participants": load.people,
        "template": None if load.template is None else load.template.name,
        "cores": round(needed.cores, 3),
        "cores_by_stage": {stage: round(cores, 3) for stage, cores in needed.stages.items()},
        "memory_mb": round(needed.memory_mb),
        "advised_cores": round(needed.advised_cores, 3),
        "advised_memory_mb": round(needed.advised_memory_mb),
        "warning": _too_slow(options, load, needed),
    }
    if options.cores is not None or options.memory_gb is not None:
        document["jobs"] = _jobs(options, needed)
    return document


def _too_slow(options: CapacityOptions, load: Load, needed: Estimate) -> str | None:
    threads = {"decode": options.decoder_threads}
    if load.template is not None:
        settings = EncoderSettings(threads=options.encoder_threads)
        threads["encode"] = encoder_threads(load.template, settings)
    slow = needed.too_slow(threads)
    return f"{' and '.join(slow)}: too much for {THREAD_LIMIT:.2f} of a thread" if slow else None


def _jobs(options: CapacityOptions, needed: Estimate) -> int:
    return needed.jobs_on(
        cores=inf if options.cores is None else options.cores,
        memory_mb=inf if options.memory_gb is None else options.memory_gb * 1024,
    )


def _template(text: str) -> EncodeTemplate | None:
    try:
        return parse_template(text)
    except ValueError as exc:
        raise InvalidField("--template", str(exc)) from exc


def _layout(text: str) -> Layout:
    layout = _LAYOUTS.get(text)
    if layout is None:
        raise InvalidField("--layout", f"is not one of {', '.join(_LAYOUTS)}")
    return layout


def _size(text: str) -> Size:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidField("--size", "expected a width and a height as 640x360")
    return Size(int(found[1]), int(found[2]))
