"""Record rules (operations 7 to 11)."""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.api.errors import RULE_EXISTS
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.paging import Paging
from worker.api.wire.rule_resource import RuleRequest, RulesTold, RuleTold, rule_body, rule_told
from worker.errors import InvalidField, NameTaken
from worker.jobs.ports import Records
from worker.jobs.values import Rule


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operations need.

    Buckets are at *locations*, anywhere when empty; with *grants_needed* an account may use only
    those it has been granted.
    """

    records: Records
    unix_ms: Callable[[], int]
    locations: Collection[str] = ()
    grants_needed: bool = True
    random_hex: Callable[[int], str] = secrets.token_hex

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        rules, rule = "/v2/apps/{app_id}/record-rules", "/v2/apps/{app_id}/record-rules/{rule_id}"
        return [
            Operation(
                method="POST",
                path=rules,
                name="create_record_rule",
                handler=self._create,
                group=Group.SETUP,
                request=RuleRequest,
                responses={201: RuleTold, 200: RuleTold},
            ),
            Operation(
                method="GET",
                path=rules,
                name="list_record_rules",
                handler=self._list,
                group=Group.SETUP,
                query=Paging,
                responses={200: RulesTold},
            ),
            Operation(
                method="GET",
                path=rule,
                name="show_record_rule",
                handler=self._show,
                group=Group.SETUP,
                responses={200: RuleTold},
            ),
            Operation(
                method="PUT",
                path=rule,
                name="update_record_rule",
                handler=self._update,
                group=Group.SETUP,
                request=RuleRequest,
                responses={200: RuleTold},
                refusals={NameTaken: RULE_EXISTS},
            ),
            Operation(
                method="DELETE",
                path=rule,
                name="delete_record_rule",
                handler=self._delete,
                group=Group.SETUP,
                responses={204: None},
            ),
        ]

    async def _create(self, call: Call[RuleRequest, None]) -> Answer:
        rule, is_new = await self.records.put_rule(
            call.account.account_id, await self._rule(call, self.random_hex(16))
        )
        return Answer(201 if is_new else 200, rule_told(rule))

    async def _list(self, call: Call[None, Paging]) -> Answer:
        rules = await self.records.rules(
            call.account.account_id,
            call.path["app_id"],
            page=call.query.offset,
            size=call.query.limit,
        )
        return Answer(200, RulesTold(rules=[rule_told(rule) for rule in rules]))

    async def _show(self, call: Call[None, None]) -> Answer:
        return Answer(200, rule_told(await self._stored(call)))

    async def _update(self, call: Call[RuleRequest, None]) -> Answer:
        stored = await self._stored(call)
        wanted = await self._rule(call, stored.rule_id)
        wanted = replace(wanted, created_unix_ms=stored.created_unix_ms)
        return Answer(
            200, rule_told(await self.records.replace_rule(call.account.account_id, wanted))
        )

    async def _delete(self, call: Call[None, None]) -> Answer:
        await self.records.remove_rule(
            call.account.account_id, call.path["app_id"], call.path["rule_id"]
        )
        return Answer(204)

    async def _stored(self, call: Call[Any, Any]) -> Rule:
        return await self.records.rule(
            call.account.account_id, call.path["app_id"], call.path["rule_id"]
        )

    async def _rule(self, call: Call[RuleRequest, None], rule_id: str) -> Rule:
        """Raises `InvalidField`."""
        app_id, now_unix_ms = call.path["app_id"], self.unix_ms()
        body = rule_body(call.body, app_id=app_id, locations=self.locations)
        bucket = body["obs_addr"]["bucket"]
        if self.grants_needed:
            granted = await self.records.granted_buckets(call.account.account_id)
            if bucket not in granted:
                raise InvalidField("obs_addr.bucket", "is not authorized")
        return Rule(
            rule_id=rule_id,
            app_id=app_id,
            location=body["obs_addr"]["location"],
            body=body,
            created_unix_ms=now_unix_ms,
            updated_unix_ms=now_unix_ms,
        )
