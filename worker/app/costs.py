"""The figures of the cost model, and what it says of jobs that are asked for."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.api.wire.mix_param import MixParam
from worker.api.wire.mix_spec import mix_spec
from worker.core.capacity import Coefficients, Feed, estimate, load_of, usual_kbps
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.jobs.values import JobKind, JobRecord

COEFFICIENTS = Path(__file__).with_name("capacity.json")
"""Written by `benchmarks/fit.py`."""
_CAMERA = Size(640, 360)
_CAMERA_FPS = 30


def parse_coefficients(document: Mapping[str, Any]) -> Coefficients:
    """The coefficients in the data file's form."""
    codecs = {Codec(name): value for name, value in document["decode_mp"].items()}
    return Coefficients(**{**document, "decode_mp": codecs})


def known_coefficients() -> Coefficients:
    """Those of this version."""
    return parse_coefficients(json.loads(COEFFICIENTS.read_text()))


def needs_of(participants: int) -> Callable[[JobRecord], tuple[float, int]]:
    """Tells the cores and the memory, MB, to set aside for a job in a room of so many people."""
    coefficients = known_coefficients()

    def needs(job: JobRecord) -> tuple[float, int]:
        mix = mix_spec(MixParam.model_validate(job.document["mix_param"]))
        people = participants if job.kind is JobKind.MIX else 1
        cameras = Feed(people, Codec.VP8, _CAMERA, _CAMERA_FPS, usual_kbps(_CAMERA, _CAMERA_FPS))
        needed = estimate(load_of(mix.template, mix.layout, cameras), coefficients)
        return needed.advised_cores, round(needed.advised_memory_mb)

    return needs
