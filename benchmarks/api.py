"""How quickly the control plane answers while it has three jobs: 50 requests a second, by token.

Prints the times of answers by operation and the late frames of the jobs' recordings. Everything
runs on this machine: room, synthetic people, store, three workers, the control plane, its callers.
Times are those of the callers, who share a process with the room's signalling and the store.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.live import ROOM, room_with

from tests.support.control_plane import Caller, add_tenant, caller, control_plane, reaches
from tests.support.delivering import environment
from tests.support.rehearse import people
from tests.support.s3 import BUCKET, s3_server

CAMERA = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\n"
ACCOUNTS, JOBS = 6, 3
PER_ACCOUNT = 50 / ACCOUNTS
"""Requests a second; the API allows ten for jobs."""
RULE = {
    "obs_addr": {"location": "here", "project_id": "p", "bucket": BUCKET, "object": "records/"},
    "record_formats": ["MP4"],
    "mp4_config": {},
}


def body(rule_id: str, user: int) -> dict[str, Any]:
    pane = {"id": 1, "user_id": f"user-{user}", "x": 0, "y": 0, "width": 1, "height": 1}
    return {
        "mix_param": {
            "room_id": ROOM,
            "encode_template": "640x480_15_500",
            "layout_template": "custom",
            "layout_panes": [pane],
        },
        "record_param": {"record_rule_id": rule_id},
    }


async def tenant_job(call: Caller, *, runs: bool) -> tuple[str, str, str]:
    """An application with a job: its id, the rule's, and the job's path."""
    app_id = (await call("POST", "/v2/apps", {"app_name": "load"}, status=201))["app_id"]
    rule = await call("POST", f"/v2/apps/{app_id}/record-rules", RULE, status=201)
    jobs = f"/v2/apps/{app_id}/mix-stream-jobs"
    job = await call("POST", jobs, body(rule["rule_id"], 0), status=201)
    path = f"{jobs}/{job['job_id']}"
    if runs:
        await reaches(call, path, "RUNNING")
    else:
        await call("DELETE", path, status=204)
    return app_id, rule["rule_id"], path


async def load(
    call: Caller, job: tuple[str, str, str], seconds: float, times: dict[str, list[float]]
) -> None:
    """Requests at even distances, whether the ones before have been answered or not."""
    app_id, rule_id, path = job
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def one(name: str, method: str, where: str, what: object) -> None:
        at = time.perf_counter()
        await call(method, where, what)
        times[name].append(time.perf_counter() - at)

    async with asyncio.TaskGroup() as group:
        for number in range(round(seconds * PER_ACCOUNT)):
            await asyncio.sleep(max(0.0, begun + number / PER_ACCOUNT - loop.time()))
            if number % 4 == 3:
                change = {"mix_param": body(rule_id, number % 2)["mix_param"]}
                group.create_task(one("update_mix_job", "PUT", path, change))
            elif number % 32 == 0:
                group.create_task(one("show_app", "GET", f"/v2/apps/{app_id}", None))
            else:
                group.create_task(one("show_mix_job", "GET", path, None))


async def written(results: Path, job_id: str) -> None:
    """Wait until the job's worker has said how it went."""
    path = results / f"{job_id}.1.json"
    while True:
        if path.exists() and path.stat().st_size:
            return
        await asyncio.sleep(0.2)


def quantile_ms(values: list[float], share: float) -> float:
    return 1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure(directory: Path, seconds: float) -> dict[str, Any]:
    times: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        room_url = await stack.enter_async_context(room_with([people(2, defaults=CAMERA)]))
        s3 = await stack.enter_async_context(s3_server(directory / "s3"))
        settings = environment(directory / "spool", s3.endpoint) | {
            "MIXWORKER_CONTROL__DIRECTORY": str(directory / "control"),
            "MIXWORKER_CONTROL__CORES": "64",
            "MIXWORKER_ROOMS__URL": room_url,
            "MIXWORKER_API__PORT": "0",
        }
        tenants = [await add_tenant(settings, directory, f"tenant{n}") for n in range(ACCOUNTS)]
        plane = await stack.enter_async_context(control_plane(settings))
        calls = [await stack.enter_async_context(caller(plane.url, each)) for each in tenants]
        jobs = [await tenant_job(call, runs=n < JOBS) for n, call in enumerate(calls)]
        await asyncio.sleep(2)
        async with asyncio.TaskGroup() as group:
            for call, job in zip(calls, jobs, strict=True):
                group.create_task(load(call, job, seconds, times))
        for call, (_, _, path) in zip(calls[:JOBS], jobs[:JOBS], strict=True):
            await call("DELETE", path, status=204)
        results = directory / "control" / "results"
        async with asyncio.timeout(30):
            for _, _, path in jobs[:JOBS]:
                await written(results, path.rpartition("/")[2])
    found = [json.loads(path.read_text())["video"] for path in results.glob("*.json")]
    every = [value for values in times.values() for value in values]
    return {
        "requests": len(every),
        "per_s": round(len(every) / seconds, 1),
        "p50_ms": round(quantile_ms(every, 0.5), 1),
        "p99_ms": round(quantile_ms(every, 0.99), 1),
        "p99_ms_by_operation": {
            name: round(quantile_ms(values, 0.99), 1) for name, values in sorted(times.items())
        },
        "frames": [each["frames"] for each in found],
        "late_frames": [each["late_frames"] for each in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(measure(Path(directory), arguments.seconds)), indent=2))


if __name__ == "__main__":
    main()
