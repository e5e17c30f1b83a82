"""What every store promises, asked of each of them; the bucket is one of a real S3 server."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from worker.errors import DestinationError, DestinationRefused, KeyTaken, UploadGone
from worker.ports import Store, StoredPart
from worker.storage.file_store import FileStore
from worker.storage.s3_store import S3Store

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
PART = 5 * MIB


@pytest_asyncio.fixture(loop_scope="module", params=["file", "s3"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: S3Store
) -> AsyncIterator[Store]:
    if request.param == "file":
        async with FileStore.open(tmp_path / "objects") as files:
            yield files
    else:
        yield bucket


@pytest.fixture
def folder() -> str:
    """Keys of one test; the bucket is shared."""
    return uuid4().hex


async def uploaded(store: Store, key: str, *parts: bytes) -> tuple[str, list[StoredPart]]:
    upload = await store.begin(key, content_type="video/mp4")
    return upload, [
        await store.put_part(key, upload, number, data) for number, data in enumerate(parts, 1)
    ]


async def test_what_is_put_is_read_back(store: Store, folder: str) -> None:
    key = f"{folder}/a b/Ümlaut+&=?#%.m3u8"
    stored = await store.put(key, b"#EXTM3U\n", content_type="application/vnd.apple.mpegurl")
    assert (stored.key, stored.size) == (key, 8)
    assert stored.etag == hashlib.md5(b"#EXTM3U\n").hexdigest()
    assert await store.head(key) == stored
    assert await store.get(key, max_bytes=8) == b"#EXTM3U\n"


async def test_an_object_is_never_overwritten_unless_asked(store: Store, folder: str) -> None:
    key = f"{folder}/a.mp4"
    await store.put(key, b"first", content_type="video/mp4")
    with pytest.raises(KeyTaken):
        await store.put(key, b"second", content_type="video/mp4")
    assert await store.get(key, max_bytes=100) == b"first"
    replaced = await store.put(key, b"third!", content_type="video/mp4", replace=True)
    assert await store.get(key, max_bytes=100) == b"third!"
    assert await store.head(key) == replaced


async def test_an_empty_object_is_one(store: Store, folder: str) -> None:
    stored = await store.put(f"{folder}/empty", b"", content_type="video/mp4")
    assert stored.size == 0
    assert await store.get(stored.key, max_bytes=0) == b""


async def test_what_is_not_there(store: Store, folder: str) -> None:
    key = f"{folder}/nothing"
    assert await store.head(key) is None
    await store.delete(key)
    with pytest.raises(DestinationRefused):
        await store.get(key, max_bytes=10)


async def test_a_deleted_object_is_gone(store: Store, folder: str) -> None:
    key = f"{folder}/a"
    await store.put(key, b"x", content_type="text/plain")
    await store.delete(key)
    assert await store.head(key) is None


async def test_no_more_is_read_than_asked_for(store: Store, folder: str) -> None:
    key = f"{folder}/large"
    await store.put(key, bytes(100_001), content_type="image/png")
    with pytest.raises(DestinationRefused, match="larger than 100000 bytes"):
        await store.get(key, max_bytes=100_000)


async def test_an_object_of_parts_appears_whole_when_it_is_complete(
    store: Store, folder: str
) -> None:
    key = f"{folder}/deep/er/a.mp4"
    contents = [os.urandom(PART), os.urandom(PART + 1), b"the end"]
    upload, parts = await uploaded(store, key, *contents)
    assert await store.head(key) is None
    assert [part.etag for part in parts] == [hashlib.md5(each).hexdigest() for each in contents]
    stored = await store.complete(key, upload, parts)
    digests = b"".join(hashlib.md5(each).digest() for each in contents)
    assert stored.etag == f"{hashlib.md5(digests).hexdigest()}-3"
    assert stored.size == 2 * PART + 8
    assert await store.head(key) == stored
    assert await store.get(key, max_bytes=stored.size) == b"".join(contents)
    assert await store.uploads(folder) == []


async def test_a_part_given_again_replaces_the_first(store: Store, folder: str) -> None:
    key = f"{folder}/a.mp4"
    upload, parts = await uploaded(store, key, b"1" * PART, b"2")
    parts[0] = await store.put_part(key, upload, 1, b"9" * PART)
    assert [part.number for part in await store.parts(key, upload)] == [1, 2]
    await store.complete(key, upload, parts)
    assert await store.get(key, max_bytes=2 * PART) == b"9" * PART + b"2"


async def test_parts_may_come_in_any_order_and_not_all_be_used(store: Store, folder: str) -> None:
    key = f"{folder}/a.mp4"
    upload = await store.begin(key, content_type="video/mp4")
    third = await store.put_part(key, upload, 3, b"3")
    second = await store.put_part(key, upload, 2, b"2")
    first = await store.put_part(key, upload, 1, b"1" * PART)
    assert await store.parts(key, upload) == [first, second, third]
    await store.complete(key, upload, [first, second])
    assert await store.get(key, max_bytes=2 * PART) == b"1" * PART + b"2"


async def test_an_upload_completes_into_no_name_that_is_taken(store: Store, folder: str) -> None:
    key = f"{folder}/a.mp4"
    upload, parts = await uploaded(store, key, b"new")
    await store.put(key, b"old", content_type="video/mp4")
    with pytest.raises(KeyTaken):
        await store.complete(key, upload, parts)
    assert await store.get(key, max_bytes=10) == b"old"
    assert await store.parts(key, upload) == parts


async def test_parts_that_are_too_small_are_refused(store: Store, folder: str) -> None:
    key = f"{folder}/a.mp4"
    upload, parts = await uploaded(store, key, b"1" * (PART - 1), b"2")
    with pytest.raises(DestinationRefused):
        await store.complete(key, upload, parts)
    await store.abort(key, upload)


async def test_open_uploads_are_listed_and_can_be_aborted(store: Store, folder: str) -> None:
    first, _ = await uploaded(store, f"{folder}/a.mp4", b"1")
    second, _ = await uploaded(store, f"{folder}/a.mp4")
    other, _ = await uploaded(store, f"{folder}/b.mp4", b"1")
    opened = await store.uploads(f"{folder}/a")
    assert {(each.key, each.upload_id) for each in opened} == {
        (f"{folder}/a.mp4", first),
        (f"{folder}/a.mp4", second),
    }
    assert all(each.begun_unix_s > 1.7e9 for each in opened)
    await store.abort(f"{folder}/a.mp4", first)
    await store.abort(f"{folder}/a.mp4", second)
    await store.abort(f"{folder}/a.mp4", second)
    assert [each.upload_id for each in await store.uploads(folder)] == [other]
    await store.abort(f"{folder}/b.mp4", other)


@pytest.mark.parametrize("how", ["aborted", "completed"])
async def test_an_upload_that_is_not_open_says_so(store: Store, folder: str, how: str) -> None:
    key = f"{folder}/a.mp4"
    upload, parts = await uploaded(store, key, b"1")
    if how == "aborted":
        await store.abort(key, upload)
    else:
        await store.complete(key, upload, parts)
    with pytest.raises(UploadGone):
        await store.put_part(key, upload, 1, b"1")
    with pytest.raises(UploadGone):
        await store.parts(key, upload)
    # A store may look at the name first.
    with pytest.raises((UploadGone, KeyTaken)):
        await store.complete(key, upload, parts)
    await store.abort(key, upload)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0b", "a\nb", "x" * 1025, ".mixworker-x/a"],
)
async def test_keys_that_lead_astray_are_refused(store: Store, key: str) -> None:
    with pytest.raises(DestinationRefused):
        await store.put(key, b"", content_type="text/plain")
    with pytest.raises(DestinationRefused):
        await store.begin(key, content_type="text/plain")
    with pytest.raises(DestinationRefused):
        await store.head(key)


async def test_a_check_leaves_nothing_behind(store: Store, folder: str, tmp_path: Path) -> None:
    await store.check()
    await store.put(f"{folder}/a", b"x", content_type="text/plain")
    if isinstance(store, FileStore):
        assert [path.name for path in (tmp_path / "objects").iterdir()] == [folder]
        return
    assert isinstance(store, S3Store)
    listed = await store._client.list_objects_v2(Bucket="rec", Prefix=".mixworker")
    assert listed["KeyCount"] == 0


async def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with FileStore.open(tmp_path / "file") as store:
        with pytest.raises(DestinationError):
            await store.check()
        with pytest.raises(DestinationError):
            await store.put("a", b"", content_type="text/plain")


async def test_files_are_written_without_a_trace_of_how(tmp_path: Path) -> None:
    async with FileStore.open(tmp_path) as store:
        await store.put("a/b.txt", b"x", content_type="text/plain")
        with pytest.raises(KeyTaken):
            await store.put("a/b.txt", b"y", content_type="text/plain")
        upload, parts = await uploaded(store, "a/c.mp4", b"1" * PART, b"2")
        await store.complete("a/c.mp4", upload, parts)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.txt", "c.mp4"]


async def test_a_file_changed_by_others_has_another_etag(tmp_path: Path) -> None:
    async with FileStore.open(tmp_path) as store:
        stored = await store.put("a", b"x", content_type="text/plain")
        (tmp_path / "a").write_bytes(b"y")
        changed = await store.head("a")
    assert changed is not None and changed.etag != stored.etag
