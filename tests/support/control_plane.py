"""A real control plane in a process of its own, and callers of it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PASSWORD = "planted-password-of-the-tenant"
READY_S = 30


async def mixworker(settings: Mapping[str, str], *arguments: str) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *arguments),
        env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, arguments
    return printed.decode()


@dataclass
class Tenant:
    """An account with a password and an access key."""

    name: str
    account_id: str
    access_key: str
    secret_key: str


async def add_tenant(settings: Mapping[str, str], directory: Path, name: str = "tenant") -> Tenant:
    password = directory / "password"
    password.write_text(PASSWORD)
    added = await mixworker(settings, "account", "add", name, "--password-file", str(password))
    printed = await mixworker(settings, "account", "key", name)
    keys = dict(line.split() for line in printed.splitlines())
    return Tenant(name, added.split()[1], keys["AK"], keys["SK"])


@dataclass
class Plane:
    """A control plane that runs, or was killed."""

    process: asyncio.subprocess.Process
    url: str
    log: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def control_plane(settings: Mapping[str, str], *options: str) -> AsyncIterator[Plane]:
    """`mixworker serve`; told to end on leaving. Workers that it started run on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "serve", *options),
        env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    plane = Plane(process, "")
    async with asyncio.TaskGroup() as group:
        group.create_task(_follow(process, plane.log))
        try:
            async with asyncio.timeout(READY_S):
                line = (await process.stdout.readline()).decode()
            found = re.search(r"https?://\S+", line)
            assert found is not None, plane.log
            plane.url = found[0]
            yield plane
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _follow(process: asyncio.subprocess.Process, log: list[str]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        log.append(line.decode().rstrip())  # noqa: PERF401 -- looked at meanwhile


class Caller:
    """A plain HTTP client with a token, as a person with curl."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"X-Auth-Token": token}

    async def __call__(
        self, method: str, path: str, body: object = None, *, status: int | None = None
    ) -> Any:
        """The JSON of the answer, None when there is none; *status* is what it must be."""
        async with self._session.request(
            method, f"{self._url}{path}", json=body, headers=self._headers
        ) as response:
            text = await response.text()
            assert status is None or response.status == status, (response.status, text)
            assert response.headers["X-request-Id"]
            return await response.json() if text else None


@asynccontextmanager
async def caller(url: str, tenant: Tenant) -> AsyncIterator[Caller]:
    """Logs in by the documented body, and calls with the token it gets."""
    user = {"name": tenant.name, "password": PASSWORD, "domain": {"name": tenant.name}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"domain": {"name": tenant.name}}}}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v3/auth/tokens?nocatalog=true", json=body) as response:
            assert response.status == 201, await response.text()
            token = response.headers["X-Subject-Token"]
        yield Caller(session, url, token)


async def reaches(call: Caller, path: str, state: str, within_s: float = 30) -> Any:
    """The job once it has *state*."""
    async with asyncio.timeout(within_s):
        while True:
            job = await call("GET", path, status=200)
            if job["state"] == state:
                return job
            await asyncio.sleep(0.2)


def workers_of(settings: dict[str, str]) -> list[int]:
    """Processes of workers that were started with these settings."""
    wanted = f"MIXWORKER_SPOOL__DIRECTORY={settings['MIXWORKER_SPOOL__DIRECTORY']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            environment_ = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in command and wanted in environment_:
            found.append(int(process.name))
    return found
