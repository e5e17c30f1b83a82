"""A store that is a bucket of an S3 server."""

import asyncio
import base64
import hashlib
import io
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone
from worker.ports import OpenUpload, StoredObject, StoredPart
from worker.storage.keys import HIDDEN, checked
from worker.storage.s3_client import open_client
from worker.storage.s3_errors import NotImplementedByStore, status_of, translated
from worker.storage.s3_settings import S3Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CHECK_WITHIN_S = 4.5
"""A bad bucket or key is known within 5 s of the start."""
_JOINING_S = 0.05
"""More patience for each part that a store has to put together."""
_PROBE = b"mixworker"
_UNLESS_THERE = {"IfNoneMatch": "*"}

log = logging.getLogger(__name__)

T = TypeVar("T")


class S3Store:
    """`ports.Store` in one bucket. One connection pool; every call is one attempt."""

    def __init__(self, client: "S3Client", settings: S3Settings) -> None:
        self._client = client
        self._settings = settings
        self._encryption: dict[str, Any] = {}
        if settings.encryption is not None:
            self._encryption["ServerSideEncryption"] = settings.encryption
        if settings.encryption_key_id is not None:
            self._encryption["SSEKMSKeyId"] = settings.encryption_key_id
        self._is_conditional: bool | None = None
        """Whether the store keeps an object that is there (`If-None-Match`); None: not known."""
        self._has_md5_etags = False
        self._probe = f"{settings.check_prefix}{HIDDEN}check-{secrets.token_hex(8)}"
        self._probing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: S3Settings) -> AsyncIterator[Self]:
        """A store in the bucket of *settings*. Raises `DestinationRefused`, asks nobody yet."""
        async with open_client(settings, get_session()) as client:
            yield cls(client, settings)

    @property
    def address(self) -> str:
        return f"s3://{self._settings.bucket}"

    async def check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_WITHIN_S), self._probing:
                is_conditional = await self._learn()
                if await self._head(self._probe) is None:
                    raise DestinationRefused(f"{self.address}: what was written can't be found")
                await self._delete(self._probe)
                self._is_conditional = is_conditional
        except TimeoutError:
            raise DestinationError(f"{self.address}: no answer within 5 s") from None

    async def put(
        self, key: str, data: bytes, *, content_type: str, replace: bool = False
    ) -> StoredObject:
        checked(key)
        condition = {} if replace else await self._condition(key)
        return await self._put(key, data, content_type, condition)

    async def begin(self, key: str, *, content_type: str) -> str:
        answer = await self._call(
            checked(key),
            lambda: self._client.create_multipart_upload(
                Bucket=self._settings.bucket,
                Key=key,
                ContentType=content_type,
                **self._encryption,
            ),
        )
        return answer["UploadId"]

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> StoredPart:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        answer = await self._call(
            f"part {number} of {checked(key)}",
            lambda: self._client.upload_part(
                Bucket=self._settings.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=io.BytesIO(data),
                ContentMD5=base64.b64encode(md5).decode(),
            ),
            size=len(data),
        )
        etag = answer["ETag"].strip('"')
        self._compare(key, etag, md5)
        return StoredPart(number, len(data), etag)

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        condition = await self._condition(checked(key))
        answer = await self._call(
            key,
            lambda: self._client.complete_multipart_upload(
                Bucket=self._settings.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={
                    "Parts": [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
                },
                **condition,
            ),
            more_s=len(parts) * _JOINING_S,
        )
        return StoredObject(key, sum(part.size for part in parts), answer["ETag"].strip('"'))

    async def abort(self, key: str, upload_id: str) -> None:
        try:
            await self._call(
                checked(key),
                lambda: self._client.abort_multipart_upload(
                    Bucket=self._settings.bucket, Key=key, UploadId=upload_id
                ),
            )
        except UploadGone:
            return

    async def uploads(self, prefix: str) -> Sequence[OpenUpload]:
        found: list[OpenUpload] = []
        markers: dict[str, Any] = {}
        while True:
            page = await self._call(
                f"uploads of {prefix}",
                partial(
                    self._client.list_multipart_uploads,
                    Bucket=self._settings.bucket,
                    Prefix=prefix,
                    **markers,
                ),
            )
            found += [
                OpenUpload(each["Key"], each["UploadId"], each["Initiated"].timestamp())
                for each in page.get("Uploads", [])
            ]
            if not page.get("IsTruncated"):
                return found
            markers = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    async def parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        found = await self._parts(key, upload_id)
        return [part for _, (_, part) in sorted(found.items())]

    async def last_part_unix_s(self, key: str, upload_id: str) -> float | None:
        """When its newest part came, by the store's clock; None without one."""
        found = await self._parts(key, upload_id)
        return max((changed.timestamp() for changed, _ in found.values()), default=None)

    async def _parts(self, key: str, upload_id: str) -> dict[int, tuple[datetime, StoredPart]]:
        # Some stores list a part that was replaced beside the one that replaced it.
        found: dict[int, tuple[datetime, StoredPart]] = {}
        markers: dict[str, Any] = {}
        while True:
            page = await self._call(
                checked(key),
                partial(
                    self._client.list_parts,
                    Bucket=self._settings.bucket,
                    Key=key,
                    UploadId=upload_id,
                    **markers,
                ),
            )
            for each in page.get("Parts", []):
                number, changed = each["PartNumber"], each["LastModified"]
                if number not in found or changed >= found[number][0]:
                    part = StoredPart(number, each["Size"], each["ETag"].strip('"'))
                    found[number] = (changed, part)
            if not page.get("IsTruncated"):
                return found
            markers = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def head(self, key: str) -> StoredObject | None:
        return await self._head(checked(key))

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        async def get() -> bytes:
            answer = await self._client.get_object(Bucket=self._settings.bucket, Key=key)
            data = bytearray()
            async with answer["Body"] as body:
                async for piece in body.iter_chunks():
                    data += piece
                    if len(data) > max_bytes:
                        raise DestinationRefused(f"{key}: larger than {max_bytes} bytes")
            return bytes(data)

        return await self._call(checked(key), get, size=max_bytes)

    async def delete(self, key: str) -> None:
        await self._delete(checked(key))

    async def _put(
        self, key: str, data: bytes, content_type: str, condition: dict[str, Any]
    ) -> StoredObject:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        answer = await self._call(
            key,
            lambda: self._client.put_object(
                Bucket=self._settings.bucket,
                Key=key,
                Body=io.BytesIO(data),
                ContentType=content_type,
                ContentMD5=base64.b64encode(md5).decode(),
                **self._encryption,
                **condition,
            ),
            size=len(data),
        )
        etag = answer["ETag"].strip('"')
        self._compare(key, etag, md5)
        return StoredObject(key, len(data), etag)

    async def _condition(self, key: str) -> dict[str, Any]:
        """What keeps the next write from replacing something. Raises `KeyTaken`."""
        async with self._probing:
            if self._is_conditional is None:
                is_conditional = await self._learn()
                await self._delete(self._probe)
                self._is_conditional = is_conditional
        if self._is_conditional:
            return dict(_UNLESS_THERE)
        # The best there is: names of recordings are made to be used once.
        if await self.head(key) is not None:
            raise KeyTaken(f"{key}: there is such an object already")
        return {}

    async def _learn(self) -> bool:
        """Write an object twice, to see whether the store keeps what is there.

        Any request may fail: then it lies there still when this is called again.
        """
        try:
            await self._put_probe(_UNLESS_THERE)
            await self._put_probe(_UNLESS_THERE)
        except KeyTaken:
            return True
        except NotImplementedByStore:
            await self._put_probe({})
        if self._is_conditional is not False:
            log.warning("store may overwrite objects", extra={"store": self.address})
        return False

    async def _put_probe(self, condition: dict[str, Any]) -> None:
        md5 = hashlib.md5(_PROBE, usedforsecurity=False).hexdigest()
        stored = await self._put(self._probe, _PROBE, "text/plain", condition)
        self._has_md5_etags = stored.etag == md5

    async def _head(self, key: str) -> StoredObject | None:
        async def head() -> StoredObject | None:
            try:
                answer = await self._client.head_object(Bucket=self._settings.bucket, Key=key)
            except ClientError as exc:
                if status_of(exc) == 404:
                    return None
                raise
            return StoredObject(key, answer["ContentLength"], answer["ETag"].strip('"'))

        return await self._call(key, head)

    async def _delete(self, key: str) -> None:
        await self._call(
            key, lambda: self._client.delete_object(Bucket=self._settings.bucket, Key=key)
        )

    def _compare(self, key: str, etag: str, md5: bytes) -> None:
        """For stores that don't look at Content-MD5. Raises `DestinationError`."""
        if self._has_md5_etags and etag != md5.hex():
            raise DestinationError(f"{key}: the bytes arrived damaged")

    async def _call(
        self, doing: str, call: Callable[[], Awaitable[T]], *, size: int = 0, more_s: float = 0.0
    ) -> T:
        """One attempt, with a deadline over all of it.

        The library's own read timeout does not bound the sending of a body nobody takes.
        """
        patience_s = self._settings.patience_s + more_s + size / self._settings.slowest_bytes_per_s
        try:
            async with asyncio.timeout(patience_s):
                with translated(doing):
                    return await call()
        except TimeoutError:
            raise DestinationError(f"{doing}: no answer within {patience_s:.0f} s") from None
