"""CPU of a whole job but the network: seconds of one core per second of output.

    python benchmarks/job.py [--seconds 10] [--people 1 4 9 16 25] [--template 1280x720_30_1710]

Runs jobs in the rehearsal room on a virtual clock, so every figure is decode + compose + mix +
encode + mux, as fast as the machine goes. What the synthetic people cost is measured by itself
(a run without a job) and taken off. CPU time, user and system, of the whole process.
"""

import argparse
import asyncio
import json
import logging
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path

from worker.api.wire.job_document import parse_job_document
from worker.app import run_job
from worker.engine.clock import LoopClock
from worker.ports import EncodedFrame, RoomEvent, SenderReport
from worker.settings import Settings
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.virtual_loop import run_virtual


class Nobody:
    """A listener that drops everything."""

    def on_event(self, event: RoomEvent) -> None: ...

    def on_frame(self, frame: EncodedFrame) -> None: ...

    def on_sender_report(self, report: SenderReport) -> None: ...


def scenario(people: int, height: int) -> str:
    width, bitrate = height * 16 // 9 // 2 * 2, {180: 150, 360: 500, 720: 1500}[height]
    head = f"[defaults.camera]\nwidth = {width}\nheight = {height}\nbitrate_kbps = {bitrate}\n"
    return head + "".join(f'[[participants]]\nuser_id = "user-{n}"\n' for n in range(people))


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def feeding_s(text: str, seconds: float) -> float:
    """CPU of the synthetic people alone."""

    async def feed() -> None:
        room = RehearsalRoom(parse_scenario(text), LoopClock(asyncio.get_running_loop()))
        try:
            async with asyncio.timeout(seconds):
                await room.run(Nobody())
        except TimeoutError:
            pass

    run_virtual(feed())  # the first run may have to encode the loops
    before = cpu_s()
    run_virtual(feed())
    return cpu_s() - before


def job_s(text: str, template: str, seconds: float) -> tuple[float, Mapping[str, object]]:
    """CPU of one job, and its result."""
    with tempfile.TemporaryDirectory() as directory:
        document = {
            "room": {"kind": "rehearsal", "scenario": text},
            "mix_param": {
                "room_id": "bench",
                "encode_template": template,
                "layout_template": "nine_grids_view",
            },
            "output": {"directory": str(Path(directory).absolute()), "name": "bench"},
            "max_duration_s": seconds,
        }
        before = cpu_s()
        outcome = run_virtual(run_job(parse_job_document(json.dumps(document)), Settings()))
        return cpu_s() - before, outcome.result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 9, 16, 25])
    parser.add_argument("--template", default="1280x720_30_1710")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    print(f"{options.template}, {options.seconds:g} s of output; cores, synthetic people taken off")
    print(f"{'people':>8} {'source':>8} {'cores':>8}")
    for people in options.people:
        height = 360 if people <= 9 else 180
        text = scenario(people, height)
        feeding = feeding_s(text, options.seconds)
        total, _ = job_s(text, options.template, options.seconds)
        print(f"{people:>8} {height:>7}p {(total - feeding) / options.seconds:>8.2f}")


if __name__ == "__main__":
    main()
