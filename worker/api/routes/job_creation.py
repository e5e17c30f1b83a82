"""What both kinds of jobs have in common: what their operations are given, and how one begins."""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from worker.api.operation import Call
from worker.api.wire.job_mix import check_images
from worker.api.wire.job_record import Opening
from worker.api.wire.job_request import JobRequest
from worker.errors import InvalidField
from worker.jobs.ports import Orders, Records
from worker.jobs.values import JobRecord, Json
from worker.net.reach import Reach

_JOB_ID_BYTES = 16
_UNIQUE_ID_BYTES = 8

Request = TypeVar("Request", bound=JobRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsContext:
    """What the operations on jobs are given."""

    records: Records
    orders: Orders
    room_document: Callable[[str, str], Json]
    """The `room` of the job document, from an application's id and a room's."""
    unix_ms: Callable[[], int]
    reach: Reach
    """Where live pushes may go; what a name stands for is checked when it is called."""
    grants_needed: bool
    """Whether images must lie in buckets that the account has granted."""

    async def granted_buckets(self, account_id: str) -> Collection[str] | None:
        """Those whose images may be used; None: any."""
        return await self.records.granted_buckets(account_id) if self.grants_needed else None


async def create_job(
    context: JobsContext,
    call: Call[Request, None],
    room_id: str,
    record_of: Callable[[Request, Opening], JobRecord],
) -> JobRecord:
    """Raises `NotFound` for application and rule, `InvalidField`, and as `Orders.create`."""
    account_id, app_id = call.account.account_id, call.path["app_id"]
    await context.records.app(account_id, app_id)
    asked = call.body.record_param
    rule = None
    if asked is not None:
        rule = await context.records.rule(account_id, app_id, asked.record_rule_id)
    job = record_of(
        call.body,
        Opening(
            account_id=account_id,
            app_id=app_id,
            job_id=secrets.token_hex(_JOB_ID_BYTES),
            unique_id=secrets.token_hex(_UNIQUE_ID_BYTES),
            room=context.room_document(app_id, room_id),
            rule=rule,
            created_unix_ms=context.unix_ms(),
        ),
    )
    check_images(job.document["mix_param"], await context.granted_buckets(account_id))
    _check_pushes(job.document, context.reach)
    return await context.orders.create(job, rule_id=None if rule is None else rule.rule_id)


def _check_pushes(document: Json, reach: Reach) -> None:
    """Raise `InvalidField` for addresses that nobody would call, as far as they can be told now."""
    for index, url in enumerate(document.get("publish_param", {}).get("rtmp_urls", ())):
        try:
            address = ip_address(urlsplit(url).hostname or "")
        except ValueError:
            continue  # a name
        if not reach.includes(address):
            raise InvalidField(f"publish_param.rtmp_urls[{index}]", "is out of reach")
