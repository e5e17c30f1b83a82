"""Buckets and their objects as the API writes them.

Source: API reference sections 3.8 and 4.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from worker.api.wire.mix_param import WireModel
from worker.api.wire.times import bucket_instant
from worker.api.wire.told import Told
from worker.core.record.naming import MAX_KEY_BYTES
from worker.ports import BucketFacts, ObjectFacts

GRANT = 1

_Location = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_BYTES_PER_KB = 1024


class ObjectsQuery(WireModel):
    """What to list of a bucket."""

    bucket: str
    type: Literal["folders", "objects"]
    location: _Location
    prefix: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=MAX_KEY_BYTES)] = (
        ""
    )
    """What the names begin with; what is directly below it is listed."""


class GrantRequest(WireModel):
    """Whether the account's jobs may use a bucket."""

    bucket: str
    operation: Annotated[int, Field(ge=0, le=1)]
    """1: grant, 0: revoke."""
    location: _Location
    project_id: Annotated[str, Field(max_length=256)] | None = None
    """Accepted, and not used."""


class BucketTold(Told):
    """A bucket of the store."""

    bucket: str
    location: str
    creation_date: str
    is_authorized: bool


class BucketsTold(Told):
    """All buckets."""

    count: int
    buckets: list[BucketTold]


class ObjectTold(Told):
    """An object, or a folder, whose name ends with /."""

    file_name: str
    size: int
    """Kilobytes, rounded up."""
    last_modified: str


class ObjectsTold(Told):
    """At most 1000 objects or folders."""

    count: int
    objects: list[ObjectTold]


def bucket_told(bucket: BucketFacts, *, location: str, is_authorized: bool) -> BucketTold:
    """*bucket* and whether the account may use it."""
    return BucketTold(
        bucket=bucket.name,
        location=location,
        creation_date=bucket_instant(bucket.created_unix_ms),
        is_authorized=is_authorized,
    )


def objects_told(found: Sequence[ObjectFacts]) -> ObjectsTold:
    """A list of what was *found*."""
    objects = [
        ObjectTold(
            file_name=each.key,
            size=-(-each.size_bytes // _BYTES_PER_KB),
            last_modified=bucket_instant(each.changed_unix_ms),
        )
        for each in found
    ]
    return ObjectsTold(count=len(objects), objects=objects)
