"""What the control plane has on record: frozen values.

Instants are whole milliseconds since 1970 UTC (`_unix_ms`). Mappings hold JSON as `api` wrote it
and are opaque here. Secrets are not printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from worker.core.lifecycle import State, StopReason

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant. `password_hash` None: nobody can log in with a password."""

    account_id: str
    """32 hexadecimal digits; also the id of the account's one project."""
    name: str
    """Unique."""
    created_unix_ms: int
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AK and its SK; requests are signed with it."""

    access_key: str
    account_id: str
    secret: str = field(repr=False)
    created_unix_ms: int


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was handed out, known by its digest only."""

    digest: bytes = field(repr=False)
    account_id: str
    issued_unix_ms: int
    expires_unix_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a signed request was answered, kept for who sends it again."""

    status: int
    body: bytes = field(repr=False)


class AppState(Enum):
    """Whether an application may be used."""

    ACTIVE = "active"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RecordCallback:
    """Who is told of an application's recordings. Empty `auth_key`: unsigned."""

    url: str = field(repr=False)
    auth_key: str = field(repr=False)
    updated_unix_ms: int


@dataclass(frozen=True, slots=True)
class AutoRecord:
    """Whether individual streams of new rooms are recorded by themselves, by which rule."""

    is_on: bool
    rule_id: str
    updated_unix_ms: int


@dataclass(frozen=True, slots=True)
class App:
    """An application of an account."""

    app_id: str
    """24 hexadecimal digits."""
    account_id: str
    name: str
    """Unique in the account."""
    state: AppState
    state_unix_ms: int
    created_unix_ms: int
    app_key: str = field(repr=False)
    callback: RecordCallback | None = None
    auto_record: AutoRecord | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A record rule; one for each location of an application."""

    rule_id: str
    """32 hexadecimal digits."""
    app_id: str
    location: str
    body: Json
    """The API's RecordRule but for ids and times, defaults filled in."""
    created_unix_ms: int
    updated_unix_ms: int


class JobKind(Enum):
    """What is recorded."""

    MIX = "mix"
    INDIVIDUAL = "individual"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is on record."""

    job_id: str
    """32 hexadecimal digits."""
    account_id: str
    app_id: str
    kind: JobKind
    unique_id: str
    """The caller's key; at most one unfinished job of an application has it."""
    room_id: str
    stream_name: str
    asked: Json
    """What is told of it: the parts of the answer that came with the request."""
    document: Json = field(repr=False)
    """The worker's job document but for what belongs to one attempt; holds secrets."""
    created_unix_ms: int
    updated_unix_ms: int
    """Of the last change of the layout."""
    state: State = State.INIT
    reason: StopReason | None = None
    description: str = ""
    started_unix_ms: int = 0
    stopped_unix_ms: int | None = None
    cores: float = 1.0
    """What it is expected to use, for admission."""
    memory_mb: int = 512
    attempt: int = 0
    """Number of the newest worker that was, or is to be, started; 0: none yet."""
    failures: int = 0
    """Workers of this job that died."""
    told_attempts: frozenset[int] = frozenset()
    """Of which workers every file has been delivered and every event told."""
    is_over: bool = False
    """No worker runs any more and none will."""
    revision: int = 0
    """Rises with each change; who changes names the one that was read."""

    @property
    def is_live(self) -> bool:
        """Whether it counts against quotas and can be changed."""
        return self.state is not State.STOPPED


@dataclass(frozen=True, slots=True)
class Message:
    """A callback that waits in a job's line."""

    number: int
    """Rises with time; a job's messages are sent in this order."""
    event_id: str
    job_id: str
    account_id: str
    app_id: str
    body: bytes = field(repr=False)
    created_unix_ms: int
    attempts: int = 0
    failing_unix_ms: int | None = None
    """Since when it fails."""
    due_unix_ms: int = 0
