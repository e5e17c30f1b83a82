"""Jobs that deliver: documents, environments and what is in a bucket afterwards."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.rehearse import people
from tests.support.s3 import BUCKET, KEYS, writing_client

AUTH_KEY = "planted-auth-key-0123456789abcdef0123"
CAMERA = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\n"


def delivering(directory: Path, seconds: float | None, **more: Any) -> dict[str, Any]:
    """A rehearsed job of two people that records by rule; *more* is of the document."""
    return {
        "job_id": "job",
        "app_id": "app",
        "stream_name": "stream",
        "room": {"kind": "rehearsal", "scenario": people(2, defaults=CAMERA)},
        "mix_param": {
            "room_id": "room",
            "encode_template": "640x480_15_500",
            "layout_template": "nine_grids_view",
        },
        "output": {"directory": str(directory), "name": "recording"},
        **({} if seconds is None else {"max_duration_s": seconds}),
        "record": {
            "obs_addr": {"location": "here", "bucket": BUCKET, "object": "records/"},
            "record_formats": ["MP4", "HLS"],
            "hls_config": {"record_slice_duration": 2},
            "mp4_config": {},
        },
        **more,
    }


async def recover(settings: Mapping[str, str]) -> int:
    """The exit code of `mixworker recover`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "recover"), env=os.environ | settings
    )
    return await process.wait()


def environment(spool: Path, endpoint: str, keys: tuple[str, str] = KEYS) -> dict[str, str]:
    """Settings of a worker that delivers to a server on loopback."""
    return {
        "MIXWORKER_STORAGE__ENDPOINT": endpoint,
        "MIXWORKER_STORAGE__ACCESS_KEY": keys[0],
        "MIXWORKER_STORAGE__SECRET_KEY": keys[1],
        "MIXWORKER_SPOOL__DIRECTORY": str(spool),
        "MIXWORKER_SPOOL__FLOOR_MB": "16",
        "MIXWORKER_NET__ALLOW": "127.0.0.0/8",
    }


class Bucket:
    """What is in the bucket, seen with a client that knows nothing of the worker."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def at(cls, endpoint: str) -> AsyncIterator["Bucket"]:
        async with writing_client(endpoint) as client:
            yield cls(client)

    async def get(self, key: str) -> bytes:
        answer = await self._client.get_object(Bucket=BUCKET, Key=key)
        async with answer["Body"] as body:
            content: bytes = await body.read()
        return content

    async def keys(self) -> list[str]:
        answer = await self._client.list_objects_v2(Bucket=BUCKET)
        return sorted(entry["Key"] for entry in answer.get("Contents", []))

    async def open_uploads(self) -> list[str]:
        answer = await self._client.list_multipart_uploads(Bucket=BUCKET)
        return [entry["Key"] for entry in answer.get("Uploads", [])]

    async def download(self, directory: Path) -> dict[str, Path]:
        """Everything, by key."""
        files = {}
        for key in await self.keys():
            path = files[key] = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(await self.get(key))
        return files


def of_type(bodies: list[dict[str, Any]], event_type: str) -> list[dict[str, Any]]:
    return [body for body in bodies if body["event_type"] == event_type]


def everything_said(directory: Path, complaints: list[str], progress: list[Any]) -> str:
    """Log, progress and result of a job as one text, to look for secrets in."""
    result = (directory / "recording.json").read_text()
    return "\n".join([*complaints, json.dumps(progress), result])
