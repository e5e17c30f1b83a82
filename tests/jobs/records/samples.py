"""Rows for tests: two accounts with everything an account can have."""

from dataclasses import replace
from typing import Any

from worker.jobs.ports import Records
from worker.jobs.records import Seal
from worker.jobs.values import (
    Account,
    App,
    AppState,
    JobKind,
    JobRecord,
    Message,
    Rule,
)

SEAL = Seal([b"a sealing key of thirty-two byte"])
ACME = "a" * 32
BOLT = "b" * 32
ACME_APP = "1" * 24
BOLT_APP = "2" * 24
PLENTY = 1000


def an_account(account_id: str = ACME, name: str = "acme") -> Account:
    return Account(account_id=account_id, name=name, created_unix_ms=1000)


def an_app(app_id: str = ACME_APP, account_id: str = ACME, **other: Any) -> App:
    facts: dict[str, Any] = {
        "name": f"app {app_id}",
        "state": AppState.ACTIVE,
        "state_unix_ms": 2000,
        "created_unix_ms": 2000,
        "app_key": "key of the app",
    }
    return App(app_id=app_id, account_id=account_id, **(facts | other))


def a_rule(rule_id: str = "5" * 32, app_id: str = ACME_APP, **other: Any) -> Rule:
    facts: dict[str, Any] = {
        "location": "here",
        "body": {"record_formats": ["MP4"], "of": rule_id},
        "created_unix_ms": 3000,
        "updated_unix_ms": 3000,
    }
    return Rule(rule_id=rule_id, app_id=app_id, **(facts | other))


def a_job(number: int = 1, **other: Any) -> JobRecord:
    job = JobRecord(
        job_id=f"{number:032x}",
        account_id=ACME,
        app_id=ACME_APP,
        kind=JobKind.MIX,
        unique_id=f"unique {number}",
        room_id="room",
        stream_name="stream",
        asked={"mix_param": {"room_id": "room", "text": "grüße \ud800"}},
        document={"room": {"pin": "1234"}},
        created_unix_ms=4000 + number,
        updated_unix_ms=4000 + number,
    )
    return replace(job, **other)


def a_message(event_id: str = "event", job_number: int = 1, **other: Any) -> Message:
    message = Message(
        number=0,
        event_id=event_id,
        job_id=f"{job_number:032x}",
        account_id=ACME,
        app_id=ACME_APP,
        body=event_id.encode(),
        created_unix_ms=5000,
    )
    return replace(message, **other)


async def fill(records: Records) -> None:
    """Two accounts with an application each."""
    await records.add_account(an_account())
    await records.add_account(an_account(BOLT, "bolt"))
    await records.add_app(an_app(), quota=PLENTY)
    await records.add_app(an_app(BOLT_APP, BOLT), quota=PLENTY)
