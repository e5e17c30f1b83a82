"""Record rules."""

import asyncio
from dataclasses import replace

import pytest

from tests.jobs.records.samples import ACME, ACME_APP, BOLT, BOLT_APP, PLENTY, a_job, a_rule
from worker.core.lifecycle import State
from worker.errors import InUse, NameTaken, NotFound
from worker.jobs.ports import Records
from worker.jobs.values import AutoRecord


async def test_putting_again_replaces_and_keeps_id_and_creation(records: Records) -> None:
    first = a_rule()
    assert await records.put_rule(ACME, first) == (first, True)

    later = a_rule("6" * 32, body={"new": [1.5, None]}, created_unix_ms=9, updated_unix_ms=9)
    expected = replace(first, body={"new": [1.5, None]}, updated_unix_ms=9)
    assert await records.put_rule(ACME, later) == (expected, False)

    assert await records.rule(ACME, ACME_APP, first.rule_id) == expected
    assert await records.rules(ACME, ACME_APP, page=0, size=10) == (expected,)


async def test_of_many_rules_for_one_location_one_is_new(planes: tuple[Records, Records]) -> None:
    puts = await asyncio.gather(
        *(planes[number % 2].put_rule(ACME, a_rule(f"{number:032d}")) for number in range(30))
    )
    assert sum(is_new for _, is_new in puts) == 1
    assert len({rule.rule_id for rule, _ in puts}) == 1
    assert len(await planes[0].rules(ACME, ACME_APP, page=0, size=100)) == 1


async def test_a_rule_is_replaced_by_id(records: Records) -> None:
    await records.put_rule(ACME, a_rule())
    await records.put_rule(ACME, a_rule("6" * 32, location="there"))

    moved = a_rule(location="elsewhere", updated_unix_ms=9, created_unix_ms=9)
    assert await records.replace_rule(ACME, moved) == replace(moved, created_unix_ms=3000)
    with pytest.raises(NameTaken):
        await records.replace_rule(ACME, a_rule(location="there"))
    with pytest.raises(NotFound):
        await records.replace_rule(ACME, a_rule("7" * 32))


async def test_pages_show_the_newest_first(records: Records) -> None:
    for number in range(5):
        rule = a_rule(str(number) * 32, location=f"{number}", created_unix_ms=number)
        await records.put_rule(ACME, rule)

    async def page(number: int) -> str:
        rules = await records.rules(ACME, ACME_APP, page=number, size=2)
        return "".join(rule.location for rule in rules)

    assert [await page(number) for number in range(4)] == ["43", "21", "0", ""]


async def test_a_rule_stays_while_a_live_job_goes_by_it(records: Records) -> None:
    rule, job = a_rule(), a_job()
    await records.put_rule(ACME, rule)
    await records.add_job(job, rule_id=rule.rule_id, quota=PLENTY)
    with pytest.raises(InUse):
        await records.remove_rule(ACME, ACME_APP, rule.rule_id)

    await records.change_job(job.job_id, lambda old: replace(old, state=State.STOPPED))
    await records.remove_rule(ACME, ACME_APP, rule.rule_id)
    with pytest.raises(NotFound):
        await records.remove_rule(ACME, ACME_APP, rule.rule_id)


async def test_a_rule_stays_while_automatic_recording_goes_by_it(records: Records) -> None:
    rule = a_rule()
    await records.put_rule(ACME, rule)
    await records.set_auto_record(ACME, ACME_APP, AutoRecord(True, rule.rule_id, 1))
    with pytest.raises(InUse):
        await records.remove_rule(ACME, ACME_APP, rule.rule_id)

    await records.set_auto_record(ACME, ACME_APP, AutoRecord(False, rule.rule_id, 2))
    await records.remove_rule(ACME, ACME_APP, rule.rule_id)


async def test_a_rule_belongs_to_one_application(records: Records) -> None:
    await records.put_rule(BOLT, a_rule("6" * 32, BOLT_APP))
    for app_id in (ACME_APP, BOLT_APP):
        with pytest.raises(NotFound):
            await records.rule(ACME, app_id, "6" * 32)
    with pytest.raises(NotFound):
        await records.put_rule(ACME, a_rule("7" * 32, BOLT_APP))
