"""Background images out of buckets, for a thread that loads them."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from worker.errors import DestinationError, DestinationRefused
from worker.ports import Store

MAX_IMAGE_BYTES = 10 << 20
PATIENCE_S = 10.0
"""For one image, from opening its store to the last byte."""
_SILENCE_S = 60.0
"""So long a bucket that did not answer is not asked for the next image: a job waits for them."""

BucketFor = Callable[[str], AbstractAsyncContextManager[Store]]
"""Opens the store `s3://bucket`. Raises `DestinationError` for one that may not be used."""


class BucketImages:
    """Fetches `s3://bucket/key` for another thread than the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bucket_for: BucketFor) -> None:
        self._loop = loop
        self._bucket_for = bucket_for
        self._silent_until_s: dict[str, float] = {}
        """By bucket; there are as many as an operator has allowed."""

    def __call__(self, ref: str) -> bytes:
        """Bytes of the object, 10 MiB at most. Raises `DestinationError`.

        Blocks; must not be called on the event loop's thread.
        """
        bucket, _, key = ref.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise DestinationRefused("the address names no object")
        return asyncio.run_coroutine_threadsafe(self._get(bucket, key), self._loop).result()

    async def _get(self, bucket: str, key: str) -> bytes:
        if self._silent_until_s.get(bucket, 0.0) > self._loop.time():
            raise DestinationError("its store did not answer a moment ago")
        try:
            async with asyncio.timeout(PATIENCE_S), self._bucket_for(f"s3://{bucket}") as store:
                return await store.get(key, max_bytes=MAX_IMAGE_BYTES)
        except TimeoutError:
            self._silent_until_s[bucket] = self._loop.time() + _SILENCE_S
            raise DestinationError("its store does not answer") from None
        except DestinationError as exc:
            if exc.retryable:
                self._silent_until_s[bucket] = self._loop.time() + _SILENCE_S
            raise
