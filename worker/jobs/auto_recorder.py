"""Automatic recording: a job for each stream of everybody who publishes in a new room.

API reference section 3.3: a change affects rooms that begin after it. Which rooms there are is
asked of their server, now and then.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from worker.errors import JobRunning, NotFound, RecordsDown, RequestError, RoomError
from worker.jobs.ports import Orders, Records, RoomKeeper
from worker.jobs.values import App, JobRecord, Rule
from worker.ports import RoomPresence

log = logging.getLogger(__name__)

LOOK_S = 2.0
ABSENCE_MS = 30_000
"""Somebody may be away for so long within one job."""

_Rooms = Mapping[str, Sequence[RoomPresence]]
"""Who is in each room."""


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
        return _key(self.app.app_id, self.room_id, self.user_id, self.is_screen)


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
        self._rules: dict[str, dict[str, str | None]] = {}
        """By which rule each room of an application is recorded: the one that was in force when it
        was first seen; None for those that were there before."""
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
        app_ids = {app.app_id for app in apps} | {job.app_id for job in live.values()}
        rooms = {app_id: await self._rooms_of(app_id).people() for app_id in app_ids}
        present = {
            _key(app_id, *stream) for app_id in app_ids for stream in _published(rooms[app_id])
        }
        there = await self._wanted(apps, rooms, live)
        self._handled = (self._handled | live.keys()) & present
        for key, stream in there.items():
            if key not in self._handled and await self._start(stream):
                self._handled.add(key)
        # Of applications that are stopped or switched off, too: what runs goes on until they leave.
        await self._stop_absent(live, present)

    async def _wanted(
        self, apps: Sequence[App], rooms: Mapping[str, _Rooms], live: Mapping[str, JobRecord]
    ) -> dict[str, Stream]:
        """Everything that should have a job now, by key."""
        before, self._rules = self._rules, {}
        found: dict[str, Stream] = {}
        for app in apps:
            auto = app.auto_record
            if auto is None:
                continue
            known = before.get(app.app_id)
            chosen = self._rules[app.app_id] = {
                room_id: None if known is None else known.get(room_id, auto.rule_id)
                for room_id in rooms[app.app_id]
            }
            # A control plane that was started again knows rooms by the jobs they have.
            for job in live.values():
                if job.app_id == app.app_id and chosen.get(job.room_id, "") is None:
                    chosen[job.room_id] = auto.rule_id
            rules = {
                rule_id: await self._rule(app, rule_id, auto.rule_id)
                for rule_id in set(chosen.values())
                if rule_id is not None
            }
            for room_id, user_id, is_screen in _published(rooms[app.app_id]):
                rule = rules.get(chosen[room_id] or "")
                if rule is not None:
                    stream = Stream(app, rule, room_id, user_id, is_screen)
                    found[stream.key] = stream
        return found

    async def _rule(self, app: App, rule_id: str, otherwise: str) -> Rule | None:
        """None when both were removed, at this moment."""
        for each in (rule_id, otherwise):
            try:
                return await self._records.rule(app.account_id, app.app_id, each)
            except NotFound:
                continue
        return None

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

    async def _stop_absent(self, live: Mapping[str, JobRecord], present: Set[str]) -> None:
        now_ms = self._unix_ms()
        self._away_unix_ms = {
            key: self._away_unix_ms.get(key, now_ms) for key in live.keys() - present
        }
        for key, since_ms in self._away_unix_ms.items():
            if now_ms - since_ms < ABSENCE_MS:
                continue
            job = live[key]
            try:
                await self._orders.stop(job.account_id, job.app_id, job.kind, job.job_id)
            except NotFound:
                pass  # removed with its application


def _published(rooms: _Rooms) -> Iterator[tuple[str, str, bool]]:
    """Room, user and whether it is the screen, of all streams."""
    for room_id, people in rooms.items():
        for person in people:
            yield room_id, person.user_id, False
            if person.shares_screen:
                yield room_id, person.user_id, True


def _key(app_id: str, room_id: str, user_id: str, is_screen: bool) -> str:
    names = (app_id, room_id, user_id, str(is_screen))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]
