import asyncio

import pytest
import pytest_asyncio

from tests.storage.conftest import s3_settings
from tests.support.s3 import BUCKET, KEYS, READING_KEYS, S3Server, writing_client
from worker.errors import DestinationError, DestinationRefused
from worker.storage import browse
from worker.storage.browse import Browser
from worker.storage.s3_settings import S3Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full(server: S3Server) -> S3Server:
    async with writing_client(server.endpoint) as client:
        for key in ("b/1.mp4", "b/2.mp4", "b/c/3.ts", "b/d/e/4.ts", "top.txt"):
            await client.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 1500)
    return server


def browser(server: S3Server, *, allowed: tuple[str, ...] = (), **changes: object) -> Browser:
    def settings_of(bucket: str, location: str) -> S3Settings:
        return s3_settings(server.endpoint, bucket=bucket, **changes)

    return Browser(settings_of, allowed=allowed)


async def test_buckets_are_listed_with_their_age(full: S3Server) -> None:
    [found] = await browser(full).buckets()

    assert found.name == BUCKET
    assert found.created_unix_ms > 1_700_000_000_000


async def test_only_allowed_buckets_are_there(full: S3Server) -> None:
    found = browser(full, allowed=("another",))

    assert await found.buckets() == []
    with pytest.raises(DestinationRefused):
        await found.objects(BUCKET, location="x", prefix="", folders=False)


@pytest.mark.parametrize(
    ("prefix", "objects", "folders"),
    [
        ("", ["top.txt"], ["b/"]),
        ("b/", ["b/1.mp4", "b/2.mp4"], ["b/c/", "b/d/"]),
        ("b/1", ["b/1.mp4"], []),
        ("b/d/", [], ["b/d/e/"]),
        ("nothing", [], []),
    ],
)
async def test_what_is_directly_below_a_prefix_is_listed(
    full: S3Server, prefix: str, objects: list[str], folders: list[str]
) -> None:
    found = browser(full)

    of_objects = await found.objects(BUCKET, location="x", prefix=prefix, folders=False)
    of_folders = await found.objects(BUCKET, location="x", prefix=prefix, folders=True)

    assert [each.key for each in of_objects] == objects
    assert [each.key for each in of_folders] == folders
    assert all(each.size_bytes == 1500 for each in of_objects)
    assert all(each.changed_unix_ms > 1_700_000_000_000 for each in of_objects)


async def test_a_long_list_is_read_in_pages_and_cut(
    full: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "MOST", 1)

    objects = await browser(full).objects(BUCKET, location="x", prefix="b/", folders=False)
    folders = await browser(full).objects(BUCKET, location="x", prefix="b/", folders=True)

    # Folders come behind both objects: on the third page.
    assert [each.key for each in objects] == ["b/1.mp4"]
    assert [each.key for each in folders] == ["b/c/"]


@pytest.mark.parametrize(
    ("bucket", "access_key", "secret_key"),
    [
        ("no-such-bucket", *KEYS),
        (BUCKET, READING_KEYS[0], "wrong-secret"),
        (BUCKET, "nobody", "wrong-secret"),
    ],
)
async def test_a_store_that_says_no_is_told_apart_from_one_that_is_gone(
    full: S3Server, bucket: str, access_key: str, secret_key: str
) -> None:
    found = browser(full, access_key=access_key, secret_key=secret_key)

    with pytest.raises(DestinationRefused):
        await found.objects(bucket, location="x", prefix="", folders=False)


async def test_a_store_that_is_gone_is_an_error_for_now() -> None:
    found = Browser(lambda bucket, location: s3_settings("http://127.0.0.1:9", bucket=bucket))

    with pytest.raises(DestinationError) as raised:
        await found.buckets()

    assert not isinstance(raised.value, DestinationRefused)


async def test_a_store_that_is_silent_is_not_waited_for(full: S3Server) -> None:
    found = browser(full, patience_s=0.3)
    full.freeze()
    try:
        async with asyncio.timeout(5):
            with pytest.raises(DestinationError):
                await found.buckets()
    finally:
        full.thaw()
