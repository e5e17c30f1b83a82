"""No tenant sees, changes or removes another one's rows."""

from collections.abc import Awaitable, Callable

import pytest

from tests.jobs.records.samples import (
    ACME,
    ACME_APP,
    BOLT,
    PLENTY,
    a_job,
    a_message,
    a_rule,
)
from worker.errors import NotFound
from worker.jobs.ports import Records
from worker.jobs.values import AppState, AutoRecord, JobKind, RecordCallback

RULE = a_rule()
JOB = a_job()
CALLBACK = RecordCallback(url="https://there/", auth_key="key", updated_unix_ms=1)

# What an account does with an application and what is in it: (account, application, rule, job).
ACTIONS: dict[str, Callable[[Records, str, str, str, str], Awaitable[object]]] = {
    "app": lambda r, account, app, rule, job: r.app(account, app),
    "set_app_state": lambda r, account, app, rule, job: r.set_app_state(
        account, app, AppState.STOPPED, 1
    ),
    "set_callback": lambda r, account, app, rule, job: r.set_callback(account, app, CALLBACK),
    "set_auto_record": lambda r, account, app, rule, job: r.set_auto_record(
        account, app, AutoRecord(True, rule, 1)
    ),
    "put_rule": lambda r, account, app, rule, job: r.put_rule(account, a_rule(rule, app)),
    "replace_rule": lambda r, account, app, rule, job: r.replace_rule(account, a_rule(rule, app)),
    "rule": lambda r, account, app, rule, job: r.rule(account, app, rule),
    "rules": lambda r, account, app, rule, job: r.rules(account, app, page=0, size=10),
    "remove_rule": lambda r, account, app, rule, job: r.remove_rule(account, app, rule),
    "add_job": lambda r, account, app, rule, job: r.add_job(
        a_job(2, account_id=account, app_id=app), rule_id=None, quota=PLENTY
    ),
    "job": lambda r, account, app, rule, job: r.job(account, app, JobKind.MIX, job),
    "remove_app": lambda r, account, app, rule, job: r.remove_app(account, app),
}


@pytest.fixture
async def furnished(records: Records) -> Records:
    await records.put_rule(ACME, RULE)
    await records.add_job(JOB, rule_id=RULE.rule_id, quota=PLENTY)
    await records.add_message(a_message())
    return records


async def _refusal(action: Awaitable[object]) -> str:
    with pytest.raises(NotFound) as caught:
        await action
    return str(caught.value)


async def test_another_tenants_rows_are_as_absent_as_rows_that_never_were(
    furnished: Records,
) -> None:
    for name, action in ACTIONS.items():
        foreign = await _refusal(action(furnished, BOLT, ACME_APP, RULE.rule_id, JOB.job_id))
        absent = await _refusal(action(furnished, BOLT, "9" * 24, "8" * 32, "7" * 32))
        assert foreign == absent, name

    app = await furnished.app(ACME, ACME_APP)
    assert (app.state, app.callback, app.auto_record) == (AppState.ACTIVE, None, None)
    assert await furnished.rules(ACME, ACME_APP, page=0, size=10) == (RULE,)
    assert await furnished.unfinished_jobs() == (JOB,)


async def test_lists_hold_an_accounts_own_rows(furnished: Records) -> None:
    total, apps = await furnished.apps(BOLT, state=None, page=0, size=100)
    assert total == 1
    assert [app.account_id for app in apps] == [BOLT]
    assert await furnished.jobs(BOLT, size=100) == ()
    assert await furnished.keys(BOLT) == ()
    assert await furnished.granted_buckets(BOLT) == frozenset()


async def test_the_owner_succeeds_with_the_same_actions(furnished: Records) -> None:
    """Or the tests above would pass with actions that never work."""
    await furnished.change_job(JOB.job_id, lambda job: a_job(state=job.state.STOPPED))
    for name, action in ACTIONS.items():
        if name in {"remove_rule", "remove_app"}:
            continue  # in use by now, which their own tests are about
        await action(furnished, ACME, ACME_APP, RULE.rule_id, JOB.job_id)
        await furnished.set_app_state(ACME, ACME_APP, AppState.ACTIVE, 1)
