"""What the control plane asks of a database, of a launcher and of a room's server."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.jobs.values import (
    AccessKey,
    Account,
    App,
    AppState,
    AutoRecord,
    JobKind,
    JobRecord,
    Json,
    Message,
    RecordCallback,
    Reply,
    Rule,
    Token,
)
from worker.ports import BucketFacts, ObjectFacts, RoomPresence


class Records(Protocol):
    """Everything that is on record, each method one transaction.

    Rows of another account are as absent as rows that never were: `NotFound` in the same time.
    Any method raises `RecordsDown` when the database does not answer.
    """

    # -- accounts ---------------------------------------------------------------------------

    async def add_account(self, account: Account) -> None:
        """Raises `NameTaken`."""
        ...

    async def account(self, account_id: str) -> Account | None: ...

    async def account_named(self, name: str) -> Account | None: ...

    async def accounts(self) -> Sequence[Account]: ...

    async def set_password(self, account_id: str, password_hash: str | None) -> None:
        """Also revokes the account's tokens. Raises `NotFound`."""
        ...

    async def remove_account(self, account_id: str) -> None:
        """With its keys and tokens. Raises `NotFound`, and `InUse` while it has applications."""
        ...

    async def add_key(self, key: AccessKey) -> None: ...

    async def key(self, access_key: str) -> AccessKey | None: ...

    async def keys(self, account_id: str) -> Sequence[AccessKey]: ...

    async def remove_key(self, access_key: str) -> None:
        """Raises `NotFound`."""
        ...

    async def add_token(self, token: Token) -> None: ...

    async def token(self, digest: bytes) -> Token | None: ...

    async def revoke_token(self, digest: bytes) -> None: ...

    # -- requests that are sent twice -------------------------------------------------------

    async def claim_request(self, digest: bytes, expires_unix_ms: int) -> bool:
        """Whether this is the first time."""
        ...

    async def keep_reply(self, digest: bytes, reply: Reply) -> None: ...

    async def kept_reply(self, digest: bytes) -> Reply | None:
        """None while the first request is still being worked on."""
        ...

    async def release_request(self, digest: bytes) -> None:
        """Take back a claim, of a request that failed and may be tried again."""
        ...

    async def forget_expired(self, now_unix_ms: int) -> int:
        """Remove tokens and replies that have expired; how many."""
        ...

    # -- applications and rules -------------------------------------------------------------

    async def add_app(self, app: App, *, quota: int) -> None:
        """Raises `NameTaken`, `QuotaExceeded`."""
        ...

    async def app(self, account_id: str, app_id: str) -> App:
        """Raises `NotFound`."""
        ...

    async def apps(
        self, account_id: str, *, state: AppState | None, page: int, size: int
    ) -> tuple[int, Sequence[App]]:
        """How many there are, and one page of them, newest first."""
        ...

    async def set_app_state(
        self, account_id: str, app_id: str, state: AppState, now_unix_ms: int
    ) -> App:
        """Raises `NotFound`."""
        ...

    async def set_callback(self, account_id: str, app_id: str, callback: RecordCallback) -> App:
        """Raises `NotFound`."""
        ...

    async def set_auto_record(self, account_id: str, app_id: str, auto: AutoRecord) -> App:
        """Raises `NotFound`, also for a rule that is not the application's."""
        ...

    async def auto_recording_apps(self) -> Sequence[App]:
        """Of all accounts, those in use that record by themselves."""
        ...

    async def remove_app(self, account_id: str, app_id: str) -> None:
        """With its rules and finished jobs. Raises `NotFound`; `InUse` while jobs are live."""
        ...

    async def put_rule(self, account_id: str, rule: Rule) -> tuple[Rule, bool]:
        """Add, or replace the one of the same location, which keeps id and creation.

        Gives the rule as it is now and whether it is new. Raises `NotFound`.
        """
        ...

    async def replace_rule(self, account_id: str, rule: Rule) -> Rule:
        """The rule of that id. Raises `NotFound`; `NameTaken` when another has the location."""
        ...

    async def rule(self, account_id: str, app_id: str, rule_id: str) -> Rule:
        """Raises `NotFound`."""
        ...

    async def rules(self, account_id: str, app_id: str, *, page: int, size: int) -> Sequence[Rule]:
        """Newest first. Raises `NotFound`."""
        ...

    async def remove_rule(self, account_id: str, app_id: str, rule_id: str) -> None:
        """Raises `NotFound`; `InUse` while a live job or automatic recording goes by it."""
        ...

    # -- buckets ----------------------------------------------------------------------------

    async def set_bucket_grant(self, account_id: str, bucket: str, *, is_granted: bool) -> None: ...

    async def granted_buckets(self, account_id: str) -> Collection[str]: ...

    # -- jobs -------------------------------------------------------------------------------

    async def add_job(self, job: JobRecord, *, rule_id: str | None, quota: int) -> None:
        """Checked and stored in one step, however many try at once.

        Raises `NotFound` for the application or the rule, `AppStopped`, `JobRunning` when an
        unfinished job of the application has the unique id, `QuotaExceeded` when the account
        has *quota* live jobs.
        """
        ...

    async def job(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> JobRecord:
        """Raises `NotFound`."""
        ...

    async def any_job(self, job_id: str) -> JobRecord | None:
        """For workers, launchers and operators, whoever's it is."""
        ...

    async def unfinished_jobs(self) -> Sequence[JobRecord]:
        """All that are not over, oldest first."""
        ...

    async def jobs(self, account_id: str, *, size: int) -> Sequence[JobRecord]:
        """The newest ones of an account."""
        ...

    async def change_job(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Store what *change* makes of the record; gives that back.

        One at a time per job, whoever else does the same; *change* may be called again. What
        it raises comes through, and nothing is stored. Raises `NotFound`.
        """
        ...

    async def revisions(self, job_ids: Collection[str]) -> Mapping[str, int]:
        """Of those that exist."""
        ...

    async def forget_jobs(self, before_unix_ms: int) -> int:
        """Remove jobs that were over before, with all callbacks sent, at most 200; how many."""
        ...

    # -- callbacks --------------------------------------------------------------------------

    async def add_message(self, message: Message) -> bool:
        """Append (its `number` does not count); False when its event id is known already."""
        ...

    async def has_message(self, event_id: str) -> bool: ...

    async def messages(self, job_id: str, *, size: int) -> Sequence[tuple[Message, bool | None]]:
        """The newest of a job, newest first, and whether each was sent; None: it waits."""
        ...

    async def due_messages(self, now_unix_ms: int, most: int) -> Sequence[Message]:
        """The first unsent message of each job's line, of those that are due."""
        ...

    async def delay_message(
        self, number: int, *, attempts: int, failing_unix_ms: int, due_unix_ms: int
    ) -> None: ...

    async def finish_message(self, number: int, *, was_sent: bool) -> None:
        """Sent, or given up."""
        ...

    # -- several control planes -------------------------------------------------------------

    async def take_lease(
        self, name: str, holder: str, *, now_unix_ms: int, until_unix_ms: int
    ) -> bool:
        """Whether *holder* has the lease until then: nobody else's, expired, or its own."""
        ...


@dataclass(frozen=True, slots=True)
class Launch:
    """One worker to start."""

    job_id: str
    attempt: int
    """A job's workers are numbered; a later one replaces an earlier one."""
    document: bytes = field(repr=False)
    """Job document; holds secrets, so it goes through standard input or a file of mode 0400."""
    cores: float
    memory_mb: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How the worker of one attempt is doing. `exit_code` None while it runs, or unknown."""

    is_running: bool
    exit_code: int | None = None


class Launcher(Protocol):
    """Starts workers, which outlive us.

    Raises `LaunchRefused` when there is no room for another worker now, `LaunchError` when the
    engine does not answer or fails.
    """

    async def launch(self, launch: Launch) -> None:
        """Start it; one that is there already, running or ended, is left as it is."""
        ...

    async def look(self, job_id: str, attempt: int) -> WorkerState | None:
        """None when there is no such worker (any more)."""
        ...

    async def running(self) -> Collection[tuple[str, int]]:
        """Job and attempt of every worker that runs, ours or an earlier control plane's."""
        ...

    async def stop(self, job_id: str, attempt: int) -> None:
        """Tell it to drain (SIGTERM), as often as called; nothing when it is not there."""
        ...

    async def kill(self, job_id: str, attempt: int) -> None: ...

    async def forget(self, job_id: str, attempt: int) -> None:
        """Remove what is left of an ended worker: container, document, lock."""
        ...

    async def recover(self) -> None:
        """Let what dead workers left in the spool be delivered, where the spool outlives them."""
        ...


class RoomKeeper(Protocol):
    """Administers rooms at their server. Raises `RoomError`."""

    async def dismiss(self, room_id: str) -> bool:
        """Remove everybody and close the room; False when there is none."""
        ...

    async def remove_users(self, room_id: str, user_ids: Sequence[str]) -> None:
        """Those who are there; absent ones do not matter."""
        ...

    async def people(self) -> Mapping[str, Sequence[RoomPresence]]:
        """Who publishes, in every room of the server where anybody does."""
        ...


class Buckets(Protocol):
    """What lies in the stores of the settings. Raises `DestinationError`."""

    async def buckets(self) -> Sequence[BucketFacts]: ...

    async def objects(
        self, bucket: str, *, location: str, prefix: str, folders: bool
    ) -> Sequence[ObjectFacts]:
        """At most 1000, those directly below *prefix*: folders, or objects."""
        ...


class Watch(Protocol):
    """What running workers tell, for people."""

    def report(self, job_id: str) -> Json | None:
        """The newest report of the job's worker; None when it is not connected here.

        Keys: `state`, `recorded_s`, `frames`, `late_frames`, `participants` (list of `user_id`,
        `name`), `outputs` (as in progress lines), `canvas` (`width_px`, `height_px`), `tiles` (list
        of `x`, `y`, `width`, `height` as fractions of the canvas, `user_id`, `source`), `speaking`
        (user ids), `warnings`.
        """
        ...

    async def still(self, job_id: str) -> bytes | None:
        """The canvas as it is now, a JPEG; None when there is none."""
        ...


class Orders(Protocol):
    """Takes orders for jobs; fulfilled by `desk.Desk`."""

    async def create(self, job: JobRecord, *, rule_id: str | None) -> JobRecord:
        """Put *job* on record, from where it is started. Raises as `Records.add_job`."""
        ...

    async def update(
        self,
        account_id: str,
        app_id: str,
        kind: JobKind,
        job_id: str,
        change: Callable[[JobRecord], JobRecord],
    ) -> JobRecord:
        """Change what was asked; a running worker follows.

        Raises `NotFound`, `JobDone` and `JobNotRunning`.
        """
        ...

    async def stop(self, account_id: str, app_id: str, kind: JobKind, job_id: str) -> None:
        """Stop; nothing more happens to one that is stopped. Raises `NotFound`."""
        ...
