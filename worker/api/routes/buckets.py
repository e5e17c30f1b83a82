"""Buckets of the store and who may use them (operations 26 to 28)."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.api.errors import NOT_ALLOWED, NOT_FOUND, Refused
from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.wire.addresses import bucket_name
from worker.api.wire.bucket import (
    GRANT,
    BucketsTold,
    GrantRequest,
    ObjectsQuery,
    ObjectsTold,
    bucket_told,
    objects_told,
)
from worker.api.wire.refusal import read
from worker.errors import DestinationRefused
from worker.jobs.ports import Buckets, Records

_PATH = "/v2/rtc-ops/buckets"


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """What the operations need.

    A store does not say where its buckets are: *location* is told of all. Without
    *grants_needed* all are authorized.
    """

    records: Records
    buckets: Buckets
    location: str
    grants_needed: bool = True

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        return [
            Operation(
                method="GET",
                path=_PATH,
                name="list_obs_buckets",
                handler=self._list,
                group=Group.BUCKETS,
                responses={200: BucketsTold},
                refusals={DestinationRefused: NOT_ALLOWED},
            ),
            Operation(
                method="GET",
                path=f"{_PATH}/objects",
                name="list_obs_bucket_objects",
                handler=self._list_objects,
                group=Group.BUCKETS,
                query=ObjectsQuery,
                responses={200: ObjectsTold},
                refusals={DestinationRefused: NOT_FOUND},
            ),
            Operation(
                method="PUT",
                path=f"{_PATH}/authentication",
                name="update_obs_bucket_authority",
                handler=self._set_grant,
                group=Group.BUCKETS,
                request=GrantRequest,
                responses={200: None},
            ),
        ]

    async def _list(self, call: Call[None, None]) -> Answer:
        found = await self.buckets.buckets()
        granted = await self.records.granted_buckets(call.account.account_id)
        told = [
            bucket_told(
                bucket,
                location=self.location,
                is_authorized=not self.grants_needed or bucket.name in granted,
            )
            for bucket in found
        ]
        return Answer(200, BucketsTold(count=len(told), buckets=told))

    async def _list_objects(self, call: Call[None, ObjectsQuery]) -> Answer:
        query = call.query
        bucket = read("bucket", bucket_name, query.bucket)
        if self.grants_needed:
            granted = await self.records.granted_buckets(call.account.account_id)
            if bucket not in granted:
                raise Refused(NOT_ALLOWED)
        found = await self.buckets.objects(
            bucket,
            location=query.location,
            prefix=query.prefix,
            folders=query.type == "folders",
        )
        return Answer(200, objects_told(found))

    async def _set_grant(self, call: Call[GrantRequest, None]) -> Answer:
        await self.records.set_bucket_grant(
            call.account.account_id,
            read("bucket", bucket_name, call.body.bucket),
            is_granted=call.body.operation == GRANT,
        )
        return Answer(200)
