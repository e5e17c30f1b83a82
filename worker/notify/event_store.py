"""A directory of events, one file each; what became of an event is the end of its name.

`00000012-<event id>.pending` becomes `.sent` or `.given-up`; renaming one back sends it again.
Inside are the bytes that are sent. A file is there whole or not at all, and once `add` has
returned it outlasts a loss of power.
"""

import fcntl
import logging
import os
import re
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from worker.errors import DestinationError

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{8,})-([0-9a-f]{32})\.(pending|sent|given-up)")
_STOPPED = "stopped"
_FAILING = "failing"


class Fate(Enum):
    """What became of an event that is not pending any more."""

    SENT = "sent"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is sent: exactly these bytes, under this id, every time."""

    number: int
    """Place in the order of delivery."""
    event_id: str
    """32 hexadecimal digits."""
    body: bytes


class EventStore:
    """The events of one job. One process, one thread at a time.

    Raises `DestinationError` when *directory* cannot be had, or is another process's.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise DestinationError(f"events cannot be kept: {exc.strerror}") from exc
        try:
            # The kernel lets go of it whatever becomes of this process.
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = sorted(path.name for path in directory.iterdir())
        except OSError as exc:
            os.close(self._handle)
            raise DestinationError("events are in the hands of another process") from exc
        self._is_stopped = _STOPPED in names
        self._failing = self._read_failing()
        self._known: set[str] = set()
        self._pending: deque[int] = deque()
        self._ids: dict[int, str] = {}
        self._unwritten: dict[int, StoredEvent] = {}
        self._given_up = 0
        self._last = 0
        for match in filter(None, map(_NAME.fullmatch, names)):
            self._last, event_id = int(match[1]), match[2]
            self._known.add(event_id)
            if match[3] == "pending":
                self._pending.append(self._last)
                self._ids[self._last] = event_id
            self._given_up += match[3] == Fate.GIVEN_UP.value

    @property
    def last(self) -> int:
        """Number of the newest event; 0 when there never was one."""
        return self._last

    @property
    def pending(self) -> int:
        """Events that are not delivered yet."""
        return len(self._pending)

    @property
    def given_up(self) -> int:
        """Events that never will be, unless somebody renames their files."""
        return self._given_up

    @property
    def is_stopped(self) -> bool:
        """Whether the receiver wants nothing any more; removing the file `stopped` undoes it."""
        return self._is_stopped

    def add(self, event_id: str, body: bytes) -> bool:
        """Keep an event as the last one; False when it was kept before, delivered or not.

        When the disk refuses, the event is held in memory: it is still sent, if this process
        lives long enough.
        """
        if event_id in self._known:
            return False
        number = self._last + 1
        event = StoredEvent(number, event_id, body)
        try:
            self._write(event)
        except OSError as exc:
            log.error("event is held in memory only", extra={"why": exc.strerror})
            self._unwritten[number] = event
        self._last = number
        self._known.add(event_id)
        self._ids[number] = event_id
        self._pending.append(number)
        return True

    def head(self) -> StoredEvent | None:
        """The oldest event that is pending; what cannot be read any more is given up."""
        while self._pending:
            number = self._pending[0]
            if number in self._unwritten:
                return self._unwritten[number]
            event_id = self._ids[number]
            try:
                body = self._path(number, event_id, "pending").read_bytes()
                return StoredEvent(number, event_id, body)
            except OSError as exc:
                log.error("event cannot be read", extra={"why": exc.strerror})
                self.finish(number, Fate.GIVEN_UP)
        return None

    def finish(self, number: int, fate: Fate) -> None:
        """Event *number*, the head, is not pending any more."""
        self._pending.popleft()
        self._given_up += fate is Fate.GIVEN_UP
        event_id = self._ids.pop(number)
        if self._unwritten.pop(number, None) is not None:
            return
        path = self._path(number, event_id, "pending")
        try:
            path.rename(self._path(number, event_id, fate.value))
            os.fsync(self._handle)
        except OSError as exc:
            # It may be sent again by whoever comes after us, under the same id.
            log.error("event cannot be marked", extra={"why": exc.strerror})

    def failing_since(self, number: int) -> float | None:
        """When event *number*, the head, failed first, by the wall clock; None: not yet."""
        failing, since_unix_s = self._failing
        return since_unix_s if failing == number else None

    def fails(self, number: int, since_unix_s: float) -> None:
        """Remember that event *number*, the head, failed for the first time."""
        self._failing = (number, since_unix_s)
        new = self._directory / f"{_FAILING}.new"
        try:
            new.write_text(f"{number} {since_unix_s}", "ascii")
            new.rename(self._directory / _FAILING)
        except OSError as exc:
            # Only who comes after us would want to know; they begin anew.
            log.warning("failure cannot be noted", extra={"why": exc.strerror})

    def stop(self) -> None:
        """The receiver wants nothing any more: what is pending stays so."""
        self._is_stopped = True
        try:
            (self._directory / _STOPPED).touch()
            os.fsync(self._handle)
        except OSError as exc:
            log.error("end of callbacks cannot be marked", extra={"why": exc.strerror})

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._handle)

    def _read_failing(self) -> tuple[int, float]:
        try:
            number, since_unix_s = (self._directory / _FAILING).read_text("ascii").split()
            return int(number), float(since_unix_s)
        except (OSError, ValueError):
            return 0, 0.0

    def _write(self, event: StoredEvent) -> None:
        new = self._directory / "event.new"
        with new.open("wb") as file:
            file.write(event.body)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._path(event.number, event.event_id, "pending"))
        os.fsync(self._handle)

    def _path(self, number: int, event_id: str, end: str) -> Path:
        return self._directory / f"{number:08d}-{event_id}.{end}"
