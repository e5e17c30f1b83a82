"""Hours of comings and goings: memory, descriptors and threads of a worker stay where they are.

MIXWORKER_SOAK_S sets how long the soak tests record (7200 s). Each prints its figures and writes
them, with every sample, into MIXWORKER_SOAK_RESULTS (the test's own directory if not set).
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.churn import (
    Sample,
    Trend,
    at_instants,
    census,
    churning,
    sample,
    trend,
    write_samples,
)
from tests.support.live import cast, document, worker
from worker.api.wire.job_document import parse_job_document
from worker.app import run_job
from worker.settings import Settings
from worker.testroom.server import serve_room
from worker.testroom.virtual_loop import run_virtual

SOAK_S = float(os.environ.get("MIXWORKER_SOAK_S", "7200"))
WARM_S = min(600.0, SOAK_S / 3)
"""Until then caches fill and the heap finds its size."""
SAMPLE_S = 10
PEOPLE = 10
POOL = 40
EVERY_S = 30.0

MOST_MB_PER_H = 1.0
DESCRIPTORS_PER_PERSON = 3
"""A socket, a thread's wake-up or a file that is open for a moment."""
STARTUP_S = 30
"""More than a worker takes from its start to its first frame, also on a busy machine."""


def judged(samples: list[Sample], directory: Path, name: str) -> Trend:
    """The trend of *samples*, printed and written."""
    found = trend(samples, WARM_S)
    path = Path(os.environ.get("MIXWORKER_SOAK_RESULTS", directory)) / f"{name}.json"
    write_samples(path, samples, found)
    print(f"{name}: {found}, samples in {path}")
    return found


def must_be_flat(found: Trend) -> None:
    assert found.slope_mb_per_h <= MOST_MB_PER_H
    # Whoever joins or leaves at that instant has some more, or some less.
    assert found.descriptors[1] - found.descriptors[0] <= 2 * DESCRIPTORS_PER_PERSON
    assert found.threads[0] == found.threads[1]


@pytest.mark.soak
async def test_a_worker_in_a_lively_room_does_not_grow(tmp_path: Path) -> None:
    scenario = churning(SOAK_S + 60, people=PEOPLE, every_s=EVERY_S, pool=POOL)
    samples: list[Sample] = []
    async with (
        serve_room() as address,
        cast(scenario, address.ws_url),
        worker(
            document(
                tmp_path,
                address.ws_url,
                max_duration_s=SOAK_S,
                mix={"encode_template": "480x360_15_320"},
            )
        ) as recorder,
    ):
        await recorder.recorded(1)
        pid = recorder.process.pid
        instants = range(SAMPLE_S, int(SOAK_S) - SAMPLE_S, SAMPLE_S)
        await at_instants(instants, lambda at_s: samples.append(sample(at_s, pid)))
        assert await asyncio.wait_for(recorder.ended(), STARTUP_S + 3 * SAMPLE_S) == 0

    found = judged(samples, tmp_path, "soak-live")
    print(recorder.said)
    assert recorder.result["video"]["frames"] == SOAK_S * 15
    presences = recorder.result["participants"]
    assert len(presences) >= PEOPLE + SOAK_S / (2 * EVERY_S) - 2
    must_be_flat(found)


@pytest.mark.soak
async def test_hours_in_virtual_time_do_not_grow(tmp_path: Path) -> None:
    """The same people in a rehearsal room: as fast as the machine goes, but without transports.

    What the synthetic people themselves take is in the figures, for they are in the process.
    """
    job = document(tmp_path, "", max_duration_s=SOAK_S, mix={"encode_template": "480x360_15_320"})
    scenario = churning(SOAK_S, people=PEOPLE, every_s=EVERY_S, pool=POOL)
    job["room"] = {"kind": "rehearsal", "scenario": scenario}
    samples: list[Sample] = []
    async with worker(job) as recorder:
        for at_s in range(SAMPLE_S, int(SOAK_S) - SAMPLE_S, SAMPLE_S):
            await recorder.recorded(at_s)
            samples.append(sample(at_s, recorder.process.pid))
        assert await recorder.ended() == 0

    found = judged(samples, tmp_path, "soak-virtual")
    must_be_flat(found)


# --- in the gate -----------------------------------------------------------------------------

GATE_S = 40.0
GATE_EVERY_S = 0.25
FIRST_LOOK_S, SECOND_LOOK_S = 13.0, 39.5
"""Nobody comes or goes in the ten seconds before, so that whoever left is forgotten."""
QUIET_S = ((3.1, 14.0), (29.0, GATE_S))

KEPT_OF_A_PRESENCE = Counter(
    {
        # The leveller remembers a voice for ten minutes.
        "worker.core.audio.levelling._Voice": 1,
    }
)
"""Objects; the entry in the result is a piece of text by then."""


def churn_here(
    directory: Path, scenario: str, instants: list[float], look: Callable[[float], None]
) -> dict[str, Any]:
    """Record *scenario* in virtual time in this process, calling *look* at the instants."""
    job = document(directory, "", max_duration_s=GATE_S, mix={"encode_template": "480x360_15_320"})
    job["room"] = {"kind": "rehearsal", "scenario": scenario}

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(at_instants(instants, look))
            outcome = await run_job(parse_job_document(json.dumps(job)), Settings())
            looking.cancel()
            assert outcome.error is None, outcome.error

    run_virtual(main())
    result: dict[str, Any] = json.loads((directory / "recording.json").read_text())
    return result


def test_who_left_leaves_nothing_behind_but_an_entry(tmp_path: Path) -> None:
    scenario = churning(GATE_S, people=4, every_s=GATE_EVERY_S, pool=8, height_px=90, quiet=QUIET_S)
    samples: list[Sample] = []
    found: list[Counter[str]] = []

    def look(at_s: float) -> None:
        samples.append(sample(at_s))
        found.append(census())

    result = churn_here(tmp_path, scenario, [FIRST_LOOK_S, SECOND_LOOK_S], look)
    early, late = found
    joined = sum(person["joined_s"] > FIRST_LOOK_S for person in result["participants"])
    left = sum((person["left_s"] or GATE_S) < SECOND_LOOK_S for person in result["participants"])
    assert joined == 30 and left >= 30

    live = {"AudioIngest": 4, "VideoIngest": 4}
    for name, count in live.items():
        [total] = [n for kind, n in late.items() if kind.endswith(f".{name}")]
        assert total == count, name
    grown = {
        kind: late[kind] - early[kind] - joined * KEPT_OF_A_PRESENCE[kind]
        for kind in late
        if kind.startswith(("worker.", "asyncio.", "builtins.dict", "av.", "builtins.set"))
        # Who spoke when is in the result, and grows with the time, not with who leaves.
        and kind != "worker.core.audio.speakers.SpeakerTurn"
    }
    assert {kind: more for kind, more in grown.items() if more > joined / 3} == {}
    # Fewer is fine: what earlier tests of this process left ends in its own time.
    assert samples[1].descriptors <= samples[0].descriptors
    assert samples[1].threads <= samples[0].threads
