"""Record rules."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.errors import InUse, NameTaken, NotFound
from worker.jobs.records.schema import apps, jobs, rules
from worker.jobs.records.tenancy import locked_account, owned_app
from worker.jobs.records.theme import Theme
from worker.jobs.values import Rule


class Rules(Theme):
    """As in `ports.Records`."""

    async def put_rule(self, account_id: str, rule: Rule) -> tuple[Rule, bool]:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await owned_app(transaction, account_id, rule.app_id)
            found = await transaction.execute(
                select(rules.c.rule_id).where(
                    rules.c.app_id == rule.app_id, rules.c.location == rule.location
                )
            )
            there = found.scalar()
            if there is not None:
                return await _replace(transaction, there, rule), False
            await transaction.execute(
                rules.insert().values(
                    rule_id=rule.rule_id,
                    account_id=account_id,
                    app_id=rule.app_id,
                    location=rule.location,
                    body=_text(rule),
                    created_unix_ms=rule.created_unix_ms,
                    updated_unix_ms=rule.updated_unix_ms,
                )
            )
            return rule, True

    async def replace_rule(self, account_id: str, rule: Rule) -> Rule:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await _owned(transaction, account_id, rule.app_id, rule.rule_id)
            taken = select(
                exists().where(
                    rules.c.app_id == rule.app_id,
                    rules.c.location == rule.location,
                    rules.c.rule_id != rule.rule_id,
                )
            )
            if (await transaction.execute(taken)).scalar_one():
                raise NameTaken("there is a rule for that location")
            return await _replace(transaction, rule.rule_id, rule)

    async def rule(self, account_id: str, app_id: str, rule_id: str) -> Rule:
        async with self._database.read() as transaction:
            return _rule(await _owned(transaction, account_id, app_id, rule_id))

    async def rules(self, account_id: str, app_id: str, *, page: int, size: int) -> Sequence[Rule]:
        async with self._database.read() as transaction:
            await owned_app(transaction, account_id, app_id)
            rows = await transaction.execute(
                select(rules)
                .where(rules.c.app_id == app_id)
                .order_by(rules.c.created_unix_ms.desc(), rules.c.rule_id.desc())
                .limit(size)
                .offset(page * size)
            )
            return tuple(_rule(row) for row in rows)

    async def remove_rule(self, account_id: str, app_id: str, rule_id: str) -> None:
        async with self._database.write() as transaction:
            await locked_account(transaction, account_id)
            await _owned(transaction, account_id, app_id, rule_id)
            used = select(
                or_(
                    exists().where(jobs.c.rule_id == rule_id, jobs.c.state != "stopped"),
                    exists().where(apps.c.auto_rule_id == rule_id, apps.c.auto_is_on),
                )
            )
            if (await transaction.execute(used)).scalar_one():
                raise InUse("a live job, or automatic recording, goes by the rule")
            await transaction.execute(delete(rules).where(rules.c.rule_id == rule_id))


async def _owned(
    transaction: AsyncConnection, account_id: str, app_id: str, rule_id: str
) -> Row[Any]:
    found = await transaction.execute(
        select(rules).where(
            rules.c.rule_id == rule_id,
            rules.c.app_id == app_id,
            rules.c.account_id == account_id,
        )
    )
    row = found.first()
    if row is None:
        raise NotFound("no such rule")
    return row


async def _replace(transaction: AsyncConnection, rule_id: str, rule: Rule) -> Rule:
    changed = await transaction.execute(
        update(rules)
        .where(rules.c.rule_id == rule_id)
        .values(location=rule.location, body=_text(rule), updated_unix_ms=rule.updated_unix_ms)
        .returning(*rules.c)
    )
    return _rule(changed.one())


def _text(rule: Rule) -> str:
    return json.dumps(rule.body)


def _rule(row: Row[Any]) -> Rule:
    return Rule(
        rule_id=row.rule_id,
        app_id=row.app_id,
        location=row.location,
        body=json.loads(row.body),
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
    )
