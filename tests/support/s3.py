"""A real S3 server (SeaweedFS) on free loopback ports, with a directory of its own."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiobotocore.session import get_session

from tests.support.frozen import freeze, thaw

READY_WITHIN_S = 30.0
BUCKET = "rec"
KEYS = ("planted-access-key", "planted-secret-key-of-the-writer")
READING_KEYS = ("readkey", "test-secret-of-the-reader")

_PORTS = ("master", "volume", "filer", "s3", "admin")


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where a running server is, and its process, which a test may stop and continue."""

    endpoint: str
    process_id: int

    def freeze(self) -> None:
        freeze(self.process_id)

    def thaw(self) -> None:
        thaw(self.process_id)


@asynccontextmanager
async def s3_server(directory: Path) -> AsyncIterator[S3Server]:
    """Start with the bucket `rec` and two users, one who may only read; end it on leaving."""
    _configure(directory)
    ports = _free_ports(2 * len(_PORTS))
    arguments = [
        f"-{name}.port{kind}={port}"
        for (name, kind), port in zip(
            [(name, kind) for name in _PORTS for kind in ("", ".grpc")], ports, strict=True
        )
    ]
    with (directory / "weed.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "weed"),
            "mini",
            f"-dir={directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *arguments,
            f"-s3.config={directory / 's3.json'}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    server = S3Server(f"http://127.0.0.1:{ports[2 * _PORTS.index('s3')]}", process.pid)
    try:
        await _ready(server.endpoint, process)
        await _make_bucket(server.endpoint)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _configure(directory: Path) -> None:
    """In a directory that may still have to be made."""
    directory.mkdir(exist_ok=True)
    identities = [
        _identity("writer", KEYS, ["Admin", "Read", "List", "Tagging", "Write"]),
        _identity("reader", READING_KEYS, ["Read", "List"]),
    ]
    (directory / "s3.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")


def _identity(name: str, keys: tuple[str, str], actions: list[str]) -> dict[str, object]:
    return {
        "name": name,
        "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}],
        "actions": actions,
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def _ready(endpoint: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as session:
        while process.returncode is None:
            try:
                async with session.get(f"{endpoint}/healthz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError("the S3 server ended by itself")


def writing_client(endpoint: str) -> AbstractAsyncContextManager[Any]:
    """A client of the library's own, which knows nothing of the worker."""
    return get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
    )


async def _make_bucket(endpoint: str) -> None:
    async with writing_client(endpoint) as client:
        await client.create_bucket(Bucket=BUCKET)
