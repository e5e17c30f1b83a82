"""Automatic recording: a job for each stream of everybody who publishes in a new room.

API reference section 3.3: only rooms that began after it was switched on. Which rooms there are is
asked of their server, now and then.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.errors import JobRunning, NotFound, RecordsDown, RequestError, RoomError
from worker.jobs.ports import Orders, Records, RoomKeeper
from worker.jobs.values import App, JobRecord, Rule

log = logging.getLogger(__name__)

LOOK_S = 2.0
ABSENCE_MS = 30_000
"""Somebody may be away for so long within one job."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What is to be recorded: somebody's camera and microphone, or their screen."""

    app: App
    rule: Rule
    room_id: str
    user_id: str
    is_screen: bool

    @property
    def key(self) -> str:
        """The unique id of its jobs: there is one at a time."""
        names = (self.app.app_id, self.room_id, self.user_id, str(self.is_screen))
        return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


class AutoRecorder:
    """Runs beside the reconciler, on the same lease."""

    def __init__(
        self,
        records: Records,
        orders: Orders,
        rooms_of: Callable[[str], RoomKeeper],
        *,
        job_of: Callable[[Stream], JobRecord],
        is_automatic: Callable[[JobRecord], bool],
        is_leader: Callable[[], bool],
        unix_ms: Callable[[], int],
    ) -> None:
        """*rooms_of* tells who knows an application's rooms.

        *job_of* makes the job of a stream, *is_automatic* knows such jobs.
        """
        self._records = records
        self._orders = orders
        self._rooms_of = rooms_of
        self._job_of = job_of
        self._is_automatic = is_automatic
        self._is_leader = is_leader
        self._unix_ms = unix_ms
        # All bounded by who is in the rooms, and the jobs there are.
        self._began_unix_ms: dict[str, dict[str, int]] = {}
        """When each application's rooms were first seen; 0 for those that were there before us."""
        self._handled: set[str] = set()
        """Streams that had their job while they were there; a tenant may have stopped it."""
        self._away_unix_ms: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            if self._is_leader():
                try:
                    await self.look()
                except (RecordsDown, RoomError) as exc:
                    log.warning("automatic recording waits", extra={"why": str(exc)})
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Start what is missing, stop what is left. Raises `RecordsDown`, `RoomError`."""
        apps = await self._records.auto_recording_apps()
        live = {
            job.unique_id: job
            for job in await self._records.unfinished_jobs()
            if job.is_live and self._is_automatic(job)
        }
        if not apps and not live:
            self._began_unix_ms = {}
            return
        there = await self._streams(apps, live)
        self._handled = (self._handled | live.keys()) & there.keys()
        for key, stream in there.items():
            if key not in self._handled and await self._start(stream):
                self._handled.add(key)
        await self._stop_absent(live, there)

    async def _streams(
        self, apps: Sequence[App], live: Mapping[str, JobRecord]
    ) -> dict[str, Stream]:
        """Everything to be recorded now, by key."""
        now_ms = self._unix_ms()
        rooms_began: dict[str, dict[str, int]] = {}
        found: dict[str, Stream] = {}
        for app in apps:
            auto = app.auto_record
            if auto is None:
                continue
            try:
                rule = await self._records.rule(app.account_id, app.app_id, auto.rule_id)
            except NotFound:
                continue  # removed at this moment
            rooms = await self._rooms_of(app.app_id).people()
            known = self._began_unix_ms.get(app.app_id)
            began = rooms_began[app.app_id] = {
                room_id: 0 if known is None else known.get(room_id, now_ms) for room_id in rooms
            }
            # A control plane that was started again knows rooms by the jobs they have.
            recorded = {job.room_id for job in live.values() if job.app_id == app.app_id}
            for room_id, people in rooms.items():
                is_new = began[room_id] > auto.updated_unix_ms
                if not is_new and room_id not in recorded:
                    continue
                for person in people:
                    for is_screen in (False, True) if person.shares_screen else (False,):
                        stream = Stream(app, rule, room_id, person.user_id, is_screen)
                        found[stream.key] = stream
        self._began_unix_ms = rooms_began
        return found

    async def _start(self, stream: Stream) -> bool:
        """Whether it has a job now; otherwise it is tried again."""
        try:
            job = self._job_of(stream)
            await self._orders.create(job, rule_id=stream.rule.rule_id)
        except JobRunning:
            return True
        except RequestError as exc:
            log.warning("not recorded", extra={"app": stream.app.app_id, "why": type(exc).__name__})
            return False
        return True

    async def _stop_absent(
        self, live: Mapping[str, JobRecord], there: Mapping[str, Stream]
    ) -> None:
        now_ms = self._unix_ms()
        self._away_unix_ms = {
            key: self._away_unix_ms.get(key, now_ms) for key in live.keys() - there.keys()
        }
        for key, since_ms in self._away_unix_ms.items():
            if now_ms - since_ms < ABSENCE_MS:
                continue
            job = live[key]
            try:
                await self._orders.stop(job.account_id, job.app_id, job.kind, job.job_id)
            except NotFound:
                pass  # removed with its application
