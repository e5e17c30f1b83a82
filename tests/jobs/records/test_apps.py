"""Applications."""

import asyncio
from dataclasses import replace

import pytest

from tests.jobs.records.samples import (
    ACME,
    ACME_APP,
    BOLT,
    BOLT_APP,
    PLENTY,
    a_job,
    a_message,
    a_rule,
    an_app,
)
from worker.core.lifecycle import State
from worker.errors import InUse, NameTaken, NotFound, QuotaExceeded
from worker.jobs.ports import Records
from worker.jobs.values import AppState, AutoRecord, JobKind, RecordCallback

CALLBACK = RecordCallback(url="https://there/", auth_key="secret", updated_unix_ms=5)


async def test_an_application_comes_back_as_it_was_stored(records: Records) -> None:
    app = an_app(
        "3" * 24,
        callback=CALLBACK,
        auto_record=AutoRecord(is_on=False, rule_id="", updated_unix_ms=6),
    )
    await records.add_app(app, quota=PLENTY)
    assert await records.app(ACME, "3" * 24) == app
    assert await records.app(ACME, ACME_APP) == an_app()


async def test_names_are_unique_in_an_account_only(records: Records) -> None:
    await records.add_app(an_app("3" * 24, name="shop"), quota=PLENTY)
    with pytest.raises(NameTaken):
        await records.add_app(an_app("4" * 24, name="shop"), quota=PLENTY)
    await records.add_app(an_app("4" * 24, BOLT, name="shop"), quota=PLENTY)


async def test_the_quota_of_applications_holds_however_many_try_at_once(
    planes: tuple[Records, Records],
) -> None:
    async def add(number: int) -> bool:
        try:
            await planes[number % 2].add_app(an_app(f"{number:024d}"), quota=8)
        except QuotaExceeded:
            return False
        return True

    # One is there already.
    assert sum(await asyncio.gather(*(add(number) for number in range(30)))) == 7
    total, _ = await planes[0].apps(ACME, state=None, page=0, size=1)
    assert total == 8


async def test_pages_show_the_newest_first(records: Records) -> None:
    for number in range(3, 8):
        state = AppState.STOPPED if number % 2 else AppState.ACTIVE
        app = an_app(str(number) * 24, state=state, created_unix_ms=2000 + number)
        await records.add_app(app, quota=PLENTY)

    async def page(state: AppState | None, page: int, size: int) -> tuple[int, str]:
        total, apps = await records.apps(ACME, state=state, page=page, size=size)
        return total, "".join(app.app_id[0] for app in apps)

    assert await page(None, 0, 4) == (6, "7654")
    assert await page(None, 1, 4) == (6, "31")
    assert await page(None, 2, 4) == (6, "")
    assert await page(AppState.STOPPED, 0, 2) == (3, "75")
    assert await page(AppState.ACTIVE, 0, 100) == (3, "641")


async def test_parts_of_an_application_change_by_themselves(records: Records) -> None:
    rule = a_rule()
    await records.put_rule(ACME, rule)
    auto = AutoRecord(is_on=True, rule_id=rule.rule_id, updated_unix_ms=8)

    stopped = await records.set_app_state(ACME, ACME_APP, AppState.STOPPED, 7)
    told = await records.set_callback(ACME, ACME_APP, CALLBACK)
    automatic = await records.set_auto_record(ACME, ACME_APP, auto)

    assert (stopped.state, stopped.state_unix_ms) == (AppState.STOPPED, 7)
    assert told == replace(stopped, callback=CALLBACK)
    assert automatic == replace(told, auto_record=auto)
    assert await records.app(ACME, ACME_APP) == automatic


async def test_applications_that_record_by_themselves_are_found_while_they_are_in_use(
    records: Records,
) -> None:
    rule, _ = await records.put_rule(ACME, a_rule())
    await records.set_auto_record(ACME, ACME_APP, AutoRecord(True, rule.rule_id, 8))
    await records.set_auto_record(BOLT, BOLT_APP, AutoRecord(False, "", 8))
    assert await records.auto_recording_apps() == (await records.app(ACME, ACME_APP),)
    await records.set_app_state(ACME, ACME_APP, AppState.STOPPED, 9)
    assert await records.auto_recording_apps() == ()


async def test_automatic_recording_goes_by_a_rule_of_the_application(records: Records) -> None:
    await records.put_rule(BOLT, a_rule("6" * 32, BOLT_APP))
    for rule_id in ("6" * 32, "7" * 32):
        with pytest.raises(NotFound):
            await records.set_auto_record(ACME, ACME_APP, AutoRecord(True, rule_id, 8))
    assert (await records.app(ACME, ACME_APP)).auto_record is None


async def test_an_application_goes_with_rules_and_finished_jobs(records: Records) -> None:
    await records.put_rule(ACME, a_rule())
    await records.add_job(a_job(1), rule_id="5" * 32, quota=PLENTY)
    await records.add_message(a_message())
    with pytest.raises(InUse):
        await records.remove_app(ACME, ACME_APP)
    await records.change_job(
        a_job(1).job_id, lambda job: replace(job, state=State.STOPPED, is_over=True)
    )

    await records.remove_app(ACME, ACME_APP)

    with pytest.raises(NotFound):
        await records.app(ACME, ACME_APP)
    with pytest.raises(NotFound):
        await records.rules(ACME, ACME_APP, page=0, size=1)
    assert await records.any_job(a_job(1).job_id) is None
    assert not await records.has_message("event")
    with pytest.raises(NotFound):
        await records.remove_app(ACME, ACME_APP)


async def test_a_worker_that_still_delivers_is_not_forgotten_with_its_application(
    records: Records,
) -> None:
    job = a_job()
    await records.add_job(job, rule_id=None, quota=PLENTY)
    await records.change_job(job.job_id, lambda old: replace(old, state=State.STOPPED))

    await records.remove_app(ACME, ACME_APP)

    assert [left.job_id for left in await records.unfinished_jobs()] == [job.job_id]
    with pytest.raises(NotFound):
        await records.job(ACME, ACME_APP, JobKind.MIX, job.job_id)


async def test_no_job_is_added_to_an_application_that_goes(
    planes: tuple[Records, Records],
) -> None:
    async def add(number: int) -> bool:
        try:
            await planes[0].add_job(a_job(number), rule_id=None, quota=PLENTY)
        except NotFound:
            return False
        return True

    async def remove() -> bool:
        try:
            await planes[1].remove_app(ACME, ACME_APP)
        except InUse:
            return False
        return True

    added, removed = await asyncio.gather(add(1), remove())
    assert added != removed
