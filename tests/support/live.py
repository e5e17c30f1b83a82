"""Real time, real network: a served room, a cast in its own process, workers as processes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.look import Recording
from worker.cli.casting import cast_process
from worker.testroom.server import serve_room

ROOM = "live"


@asynccontextmanager
async def live_room(scenario: str) -> AsyncIterator[str]:
    """A room on loopback in which the people of *scenario* are; gives its WebSocket address."""
    async with serve_room() as address, cast(scenario, address.ws_url):
        yield address.ws_url


def cast(scenario: str, url: str, room: str = ROOM) -> AbstractAsyncContextManager[None]:
    """Synthetic people in a process of their own, from when the first ones are in."""
    return cast_process(scenario, url=url, room_id=room)


def document(directory: Path, url: str, name: str = "recording", **changes: Any) -> dict[str, Any]:
    """A job document for the live room; `mix` adds to mix_param, the rest to the top."""
    mix = {
        "room_id": ROOM,
        "encode_template": "640x480_15_500",
        "layout_template": "nine_grids_view",
        **changes.pop("mix", {}),
    }
    return {
        "room": {"kind": "testroom", "url": url},
        "mix_param": mix,
        "output": {"directory": str(directory), "name": name},
        **changes,
    }


@dataclass
class Worker:
    """A running `mixworker run`; its progress lines arrive as they are printed."""

    process: asyncio.subprocess.Process
    directory: Path
    name: str
    progress: list[Mapping[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    progressed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> str:
        """Its complaints, line by line: a list is folded in the report of a failed test."""
        return "\n".join(self.complaints)

    @property
    def recording(self) -> Recording:
        return Recording(self.directory / f"{self.name}.mp4")

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.directory / f"{self.name}.json").read_text())

    async def recorded(self, seconds: float) -> None:
        """Wait until the worker says that it has recorded so much."""
        while not self.progress or self.progress[-1]["recorded_s"] < seconds:
            self.progressed.clear()
            await self.progressed.wait()

    async def reached(self, state: str) -> None:
        """Wait until the worker says that it is in that state, which it does at once."""
        while not self.progress or self.progress[-1]["state"] != state:
            self.progressed.clear()
            await self.progressed.wait()

    async def ended(self) -> int:
        """Wait for the exit code."""
        return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def read(self) -> None:
        """Follow standard error until it ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode().rstrip()
            if text.startswith("{"):
                self.progress.append(json.loads(text))
                self.progressed.set()
            else:
                self.complaints.append(text)
        self.progressed.set()


@asynccontextmanager
async def worker(
    job: Mapping[str, Any],
    settings: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
) -> AsyncIterator[Worker]:
    """Start `mixworker run -` on *job*; killed at the end if it still runs.

    *settings* are variables of its environment, *config* its settings file.
    """
    options = [] if config is None else ["--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *options, "run", "-"),
        env=None if settings is None else os.environ | settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job).encode())
    process.stdin.close()
    output = job["output"]
    started = Worker(process, Path(output["directory"]), output["name"])
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(started.read())
        try:
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading
