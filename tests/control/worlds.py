"""What there is around a control plane, and a job in it."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.control_plane import Caller, Tenant, add_tenant, reaches, workers_of
from tests.support.delivering import AUTH_KEY, CAMERA, Bucket, environment
from tests.support.live import cast
from tests.support.receiver import Receiver, served
from tests.support.rehearse import people
from tests.support.s3 import BUCKET, s3_server
from worker.testroom.server import serve_room

FPS = 15
ROOM = "boardroom"
RULE = {
    "obs_addr": {"location": "here", "project_id": "p", "bucket": BUCKET, "object": "records/"},
    "record_formats": ["MP4"],
    "mp4_config": {},
}


@dataclass
class World:
    """What there is besides control planes."""

    directory: Path
    settings: dict[str, str]
    tenant: Tenant
    receiver: Receiver
    bucket: Bucket
    room_url: str


@asynccontextmanager
async def world(directory: Path, *, defaults: str = CAMERA, **more: str) -> AsyncIterator[World]:
    """A room with two people, who have *defaults*, a store, a receiver; *more* is of the settings.

    Workers that still run are killed on leaving.
    """
    receiver = Receiver(auth_key=AUTH_KEY)
    async with (
        serve_room() as address,
        cast(people(2, defaults=defaults), address.ws_url, ROOM),
        s3_server(directory / "s3") as s3,
        served(receiver),
        Bucket.at(s3.endpoint) as bucket,
    ):
        settings = environment(directory / "spool", s3.endpoint) | {
            "MIXWORKER_CONTROL__DIRECTORY": str(directory / "control"),
            "MIXWORKER_CONTROL__CORES": "64",
            "MIXWORKER_ROOMS__URL": address.ws_url,
            "MIXWORKER_API__PORT": "0",
            **more,
        }
        tenant = await add_tenant(settings, directory)
        try:
            yield World(directory, settings, tenant, receiver, bucket, address.ws_url)
        finally:
            for pid in workers_of(settings):
                os.kill(pid, signal.SIGKILL)


async def prepared(call: Caller, receiver: Receiver) -> tuple[str, str]:
    """An application with a rule and a callback: its id, the rule's."""
    app_id = (await call("POST", "/v2/apps", {"app_name": "rtctest"}, status=201))["app_id"]
    rule = await call("POST", f"/v2/apps/{app_id}/record-rules", RULE, status=201)
    hook = {"url": receiver.url, "auth_key": AUTH_KEY}
    await call("PUT", f"/v2/apps/{app_id}/record-callback", hook, status=200)
    return app_id, rule["rule_id"]


def gallery(rule_id: str, **mix: Any) -> dict[str, Any]:
    return {
        "mix_param": {
            "room_id": ROOM,
            "encode_template": "640x480_15_500",
            "layout_template": "nine_grids_view",
            **mix,
        },
        "record_param": {"record_rule_id": rule_id},
    }


async def gallery_started(call: Caller, receiver: Receiver) -> str:
    """The path of a job that runs, of an application of its own."""
    app_id, rule_id = await prepared(call, receiver)
    jobs = f"/v2/apps/{app_id}/mix-stream-jobs"
    job = await call("POST", jobs, gallery(rule_id), status=201)
    path = f"{jobs}/{job['job_id']}"
    await reaches(call, path, "RUNNING")
    return path
