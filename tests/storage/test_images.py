import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from PIL import Image

from tests.storage.conftest import s3_settings
from tests.support.s3_faults import FaultProxy, Faults
from worker.core.layout.geometry import Size
from worker.core.spec import ImageRef
from worker.errors import DestinationRefused
from worker.media.images import ImageLibrary
from worker.ports import Store
from worker.storage.images import MAX_IMAGE_BYTES, BucketImages
from worker.storage.s3_store import S3Store

pytestmark = pytest.mark.asyncio(loop_scope="module")


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (255, 140, 0)).save(file, "PNG")
    return file.getvalue()


async def load(fetch: BucketImages, *refs: str) -> tuple[ImageLibrary, list[str]]:
    """On a thread, as the engine does."""
    library = ImageLibrary(fetch)
    return library, await asyncio.to_thread(library.load, [ImageRef(ref) for ref in refs])


async def test_images_come_out_of_allowed_buckets_only_and_problems_are_named(
    bucket: S3Store,
) -> None:
    @asynccontextmanager
    async def bucket_for(address: str) -> AsyncIterator[Store]:
        if address != "s3://rec":
            raise DestinationRefused("this bucket may not be used")
        yield bucket

    folder = uuid4().hex
    await bucket.put(f"{folder}/a #1.png", png(64, 32), content_type="image/png")
    large = png(8, 8) + bytes(MAX_IMAGE_BYTES)
    await bucket.put(f"{folder}/large.png", large, content_type="image/png")
    fetch = BucketImages(asyncio.get_running_loop(), bucket_for)
    good = f"s3://rec/{folder}/a #1.png"
    library, warnings = await load(
        fetch, good, f"s3://rec/{folder}/large.png", "s3://rec/none.png", "s3://x/a.png", "s3://rec"
    )
    picture = library.get(ImageRef(good))
    assert picture is not None and picture.size == Size(64, 32)
    assert [warning.rpartition(": ")[2] for warning in warnings] == [
        f"larger than {MAX_IMAGE_BYTES} bytes",
        "the store answered 404 NoSuchKey",
        "this bucket may not be used",
        "the address names no object",
    ]


async def test_a_store_that_is_away_is_asked_once_for_all_images(proxy: FaultProxy) -> None:
    @asynccontextmanager
    async def bucket_for(_: str) -> AsyncIterator[Store]:
        async with S3Store.open(s3_settings(proxy.endpoint)) as store:
            yield store

    proxy.faults = Faults(status=500)
    fetch = BucketImages(asyncio.get_running_loop(), bucket_for)
    _, warnings = await load(fetch, *(f"s3://rec/{number}.png" for number in range(25)))
    assert len(warnings) == 25
    assert len(proxy.seen) == 1
