"""What lies in the store, for people who choose where recordings go."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiobotocore.session import get_session

from worker.errors import DestinationError, DestinationRefused
from worker.ports import BucketFacts, ObjectFacts
from worker.storage.s3_client import open_client
from worker.storage.s3_errors import translated
from worker.storage.s3_settings import S3Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

MOST = 1000
"""Objects, or folders, of one answer."""
_BELOW = "/"


class Browser:
    """Lists buckets and objects; each call has a connection of its own.

    *settings_of* says how a bucket at a location is reached, and with two empty texts how the
    store itself is. Only *allowed* buckets are there, all when it is empty.
    """

    def __init__(
        self, settings_of: Callable[[str, str], S3Settings], *, allowed: Collection[str] = ()
    ) -> None:
        self._settings_of = settings_of
        self._allowed = allowed
        self._session = get_session()

    async def buckets(self) -> Sequence[BucketFacts]:
        """Raises `DestinationError`."""
        async with self._asking("", "") as client:
            answer = await client.list_buckets()
        return [
            BucketFacts(each["Name"], _unix_ms(each["CreationDate"]))
            for each in answer["Buckets"]
            if self._is_allowed(each["Name"])
        ]

    async def objects(
        self, bucket: str, *, location: str, prefix: str, folders: bool
    ) -> Sequence[ObjectFacts]:
        """At most 1000 of those directly below *prefix*. Raises `DestinationError`."""
        if not self._is_allowed(bucket):
            raise DestinationRefused("the settings do not allow this bucket")
        async with self._asking(bucket, location) as client:
            return await _listed(client, bucket, prefix, folders=folders)

    @asynccontextmanager
    async def _asking(self, bucket: str, location: str) -> AsyncIterator["S3Client"]:
        settings = self._settings_of(bucket, location)
        doing = f"listing {bucket or 'buckets'}"
        try:
            async with (
                asyncio.timeout(settings.patience_s),
                open_client(settings, self._session) as client,
            ):
                with translated(doing):
                    yield client
        except TimeoutError:
            raise DestinationError(f"{doing}: no answer in time") from None

    def _is_allowed(self, bucket: str) -> bool:
        return not self._allowed or bucket in self._allowed


async def _listed(
    client: "S3Client", bucket: str, prefix: str, *, folders: bool
) -> Sequence[ObjectFacts]:
    """Pages hold both kinds, so that what is wanted may begin on a later one."""
    found: list[ObjectFacts] = []
    more: dict[str, Any] = {}
    while len(found) < MOST:
        page = await client.list_objects_v2(
            Bucket=bucket, Prefix=prefix, Delimiter=_BELOW, MaxKeys=MOST, **more
        )
        if folders:
            found += [ObjectFacts(each["Prefix"], 0, 0) for each in page.get("CommonPrefixes", [])]
        else:
            found += [
                ObjectFacts(each["Key"], each["Size"], _unix_ms(each["LastModified"]))
                for each in page.get("Contents", [])
            ]
        if not page.get("IsTruncated"):
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    return found[:MOST]


def _unix_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
