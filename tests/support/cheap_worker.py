"""A worker that records nothing: a real line and real events, but no room and no media.

Started like a worker, it reads a job document from its standard input. It is RUNNING at once, says
that a file was begun, and when it is stopped that the file is complete and everything is over. What
it is told goes into its diary, `<output.directory>/<job>.<attempt>.<process id>`, one JSON object
a line with the instant `at`; a second worker of the same number would begin a second diary.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.core.lifecycle import State, StopReason
from worker.core.spec import CallbackSpec, ControlSpec
from worker.jobs.channel_client import ControlLine
from worker.jobs.channel_messages import EVENTS_PATH, Desired, Told
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.notify.event_store import StoredEvent
from worker.notify.post import OK, HttpPost

EVENTS = ("RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_SERVER_OVER")
LAST_WORDS_S = 30.0


def diaries(results: Path, job_id: str = "*") -> list["Diary"]:
    """Of every worker of a job that ever was, oldest first."""
    found = [Diary(path) for path in results.glob(f"{job_id}.*.*")]
    return sorted(found, key=lambda diary: diary.attempt)


class Diary:
    """What one worker wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job_id, attempt, pid = path.name.split(".")
        self.attempt, self.pid = int(attempt), int(pid)

    def lines(self) -> list[dict[str, Any]]:
        text = self.path.read_text()
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def is_alive(self) -> bool:
        try:
            command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        return __name__.encode() in command

    def mixes(self) -> list[tuple[float, Any]]:
        """Every mix that was wanted of it, and when it heard of that."""
        return [(line["at"], line["mix_param"]) for line in self.lines() if "mix_param" in line]


@dataclass
class CheapWorker:
    document: dict[str, Any]
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    reason: StopReason | None = None
    is_final: bool = False
    mix: Any = None

    async def run(self) -> None:
        self.mix = self.document["mix_param"]
        self.note(mix_param=self.mix)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop, StopReason.SIGNAL)
        control = ControlSpec(**self.document["control"])
        line = ControlLine(
            control,
            job_id=self.document["job_id"],
            tls=None,
            told=self.told,
            obey=self.obey,
            still=self.still,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(line.run())
            await self.say(control, EVENTS[0])
            await self.stopped.wait()
            line.news()
            for event_type in EVENTS[1:]:
                await self.say(control, event_type)
            self.is_final = True
            await line.take_leave(LAST_WORDS_S)
            running.cancel()

    def stop(self, reason: StopReason) -> None:
        self.reason = self.reason or reason
        if not self.stopped.is_set():
            self.note(stopped=reason.value)
        self.stopped.set()

    def told(self) -> Told:
        state = State.STOPPED if self.stopped.is_set() else State.RUNNING
        return Told(state, self.reason, is_final=self.is_final)

    async def obey(self, desired: Desired) -> None:
        if desired.is_stopped:
            self.stop(StopReason.TENANT_STOP)
        if desired.mix_param is not None and desired.mix_param != self.mix:
            self.mix = desired.mix_param
            self.note(mix_param=self.mix)

    async def still(self) -> bytes:
        return b""

    async def say(self, control: ControlSpec, event_type: str) -> None:
        """Until it is answered, as a worker's outbox does it."""
        job_id = self.document["job_id"]
        path = EVENTS_PATH.format(job_id=job_id, attempt=control.attempt)
        event_id = hashlib.sha256(f"{job_id}.{control.attempt}.{event_type}".encode())
        body = {"event_type": event_type, "job_id": job_id, "detail_message": ""}
        event = StoredEvent(1, event_id.hexdigest()[:32], json.dumps(body).encode())
        post = HttpPost(
            CallbackSpec(f"{control.url}{path}", control.token),
            dialer=Dialer(Reach.parse(["127.0.0.0/8"])),
            tls=None,  # type: ignore[arg-type]  # never used on loopback
            unix_s=time.time,
        )
        while True:
            if (await post(event)).status == OK:
                break
            await asyncio.sleep(0.05)
        self.note(said=event_type)

    def note(self, **what: Any) -> None:
        output = self.document["output"]
        path = Path(output["directory"]) / f"{output['name']}.{os.getpid()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as diary:
            diary.write(json.dumps({"at": time.time(), **what}) + "\n")


if __name__ == "__main__":
    asyncio.run(CheapWorker(json.loads(sys.stdin.buffer.read())).run())
