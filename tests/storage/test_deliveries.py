"""Growing files into a real S3 server, through a proxy that fails (rows S1 to S9)."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web

from tests.storage.conftest import s3_settings
from tests.storage.material import (
    PART,
    SPEED,
    GrowingFile,
    courier_to,
    names,
    recorded,
    stored_bytes,
)
from tests.support.s3 import KEYS, READING_KEYS, S3Server
from tests.support.s3_faults import FaultProxy, Faults
from tests.support.waiting import until
from worker.errors import DestinationError, DestinationRefused, KeyTaken
from worker.storage import journal
from worker.storage.courier import SpoolCourier
from worker.storage.s3_store import S3Store

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store_behind_proxy(running_proxy: FaultProxy) -> AsyncIterator[S3Store]:
    async with S3Store.open(s3_settings(running_proxy.endpoint, patience_s=1.0)) as store:
        yield store


@pytest.fixture
def store(proxy: FaultProxy, store_behind_proxy: S3Store) -> S3Store:
    return store_behind_proxy


@pytest.fixture
def direct(bucket: S3Store) -> S3Store:
    """To look at what is stored, past the proxy."""
    return bucket


@pytest.fixture
def key() -> str:
    return f"{uuid4().hex}/a.mp4"


def is_part(request: web.Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


def is_write(request: web.Request) -> bool:
    return request.method in ("PUT", "POST")


def is_completion(request: web.Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query


def remover(direct: S3Store) -> Callable[[str], Awaitable[None]]:
    async def remove(key: str) -> None:
        await direct._delete(key)

    return remove


async def record(
    courier: SpoolCourier, path: Path, key: str, *, sizes: tuple[int, ...] = (PART, PART, 100_000)
) -> tuple[str, bytes]:
    """A whole recording of one file; returns its key and content."""
    file = GrowingFile(path)
    parcel = courier.collect(recorded(key), path, key=key, content_type="video/mp4")
    for size in sizes:
        parcel.grew(file.append(size))
        await asyncio.sleep(0.01)
    content = file.finish()
    stored = await parcel.seal()
    assert stored.size == len(content)
    return stored.key, content


async def assert_only(direct: S3Store, key: str, content: bytes) -> None:
    """One object under the key's folder, of that content, and no upload left open."""
    assert await stored_bytes(direct, key) == content
    folder = key.partition("/")[0]
    listed = await direct._client.list_objects_v2(Bucket="rec", Prefix=folder)
    assert [each["Key"] for each in listed.get("Contents", [])] == [key]
    assert await direct.uploads(folder) == []


async def test_parts_go_up_while_the_file_grows(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    async with courier_to(store, tmp_path) as courier:
        file = GrowingFile(tmp_path / "a.mp4")
        parcel = courier.collect(recorded(key), file.path, key=key, content_type="video/mp4")
        parcel.grew(file.append(PART - 1))
        await asyncio.sleep(0.1)
        assert proxy.count("PUT", "partNumber") == 0
        parcel.grew(file.append(2 * PART))
        await until(lambda: courier.state.uploaded_bytes == 2 * PART)
        assert proxy.count("PUT", "partNumber") == 2
        assert courier.state.pending_bytes == PART - 1
        content = file.finish()
        sent_before = sum(proxy.bodies)
        stored = await parcel.seal()
        # The last part, and the first again, whose head has changed.
        assert sum(proxy.bodies) - sent_before < 2 * PART + 2000
    assert (stored.key, stored.size) == (key, len(content))
    await assert_only(direct, key, content)
    facts = await direct._client.head_object(Bucket="rec", Key=key)
    assert facts["ContentType"] == "video/mp4"


async def test_a_small_file_is_one_request(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    async with courier_to(store, tmp_path) as courier:
        await until(lambda: proxy.count("DELETE") == 1)  # the courier's check
        before = len(proxy.seen)
        stored, content = await record(courier, tmp_path / "a.mp4", key, sizes=(1000, 2000))
        assert [seen.method for seen in proxy.seen[before:]] == ["PUT"]
    await assert_only(direct, stored, content)


async def test_a_file_stays_in_the_spool_until_it_was_announced(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "a.mp4"
    async with courier_to(store, tmp_path) as courier:
        await record(courier, path, key, sizes=(1000,))
        kept = journal.read(journal.path_of(path))
        assert (kept.stage, kept.key) == (journal.Stage.DELIVERED, key)
        await courier.announced(recorded("another", file_id="f2"))
        assert path.exists()
        await courier.announced(recorded(key))
        assert names(tmp_path) == []


async def test_segments_leave_the_spool_one_by_one(
    store: S3Store, direct: S3Store, tmp_path: Path, key: str
) -> None:
    playlist = key.replace(".mp4", ".m3u8")
    file = recorded(playlist, record_format="HLS")
    async with courier_to(store, tmp_path) as courier:
        for number in range(20):
            path = tmp_path / f"f1_{number:05}.ts"
            path.write_bytes(bytes([number]) * 1880)
            name = key.replace("a.mp4", path.name)
            parcel = courier.collect(file, path, key=name, content_type="video/mp2t")
            parcel.grew(1880)
            await parcel.seal()
            await courier.put(playlist, b"#EXTM3U\n" * number, content_type="text/plain")
        assert names(tmp_path) == ["f1.ledger"]
        await courier.announced(file)
        assert names(tmp_path) == []
    assert await stored_bytes(direct, key.replace("a.mp4", "f1_00019.ts")) == bytes([19]) * 1880
    assert await stored_bytes(direct, playlist) == b"#EXTM3U\n" * 19


@pytest.mark.parametrize("outage_s", [60, pytest.param(600, marks=pytest.mark.soak)])
async def test_s1_a_store_that_refuses_connections_loses_nothing(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str, outage_s: int
) -> None:
    loop = asyncio.get_running_loop()
    async with courier_to(store, tmp_path) as courier:
        file = GrowingFile(tmp_path / "a.mp4")
        parcel = courier.collect(recorded(key), file.path, key=key, content_type="video/mp4")
        parcel.grew(file.append(PART + 1))
        await until(lambda: proxy.count("PUT", "partNumber") == 1)
        await proxy.refuse()
        ends = loop.time() + outage_s / SPEED
        for _ in range(4):
            parcel.grew(file.append(PART))
            await asyncio.sleep(outage_s / SPEED / 4)
        state = courier.state
        assert state.last_error is not None and "connection failed" in state.last_error
        assert state.pending_bytes == 4 * PART + 1
        assert state.lag_s >= outage_s * 0.7
        assert loop.time() >= ends
        await proxy.listen()
        content = file.finish()
        async with asyncio.timeout(5 + 60 / SPEED):
            stored = await parcel.seal()
        assert courier.state.last_error is None
        assert courier.state.pending_bytes == 0
    await assert_only(direct, stored.key, content)


@pytest.mark.parametrize("status", [500, 503])
async def test_s2_half_of_all_answers_are_errors(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str, status: int
) -> None:
    async with courier_to(store, tmp_path) as courier:
        await until(lambda: proxy.count("DELETE") == 1)
        before = len(proxy.seen)
        proxy.faults = Faults(status=status, share=0.5)
        stored, content = await record(courier, tmp_path / "a.mp4", key, sizes=(PART,) * 6)
        answered = sum(seen.status is not None for seen in proxy.seen[before:])
        assert len(proxy.seen) - before <= 3 * answered
    proxy.faults = Faults()
    await assert_only(direct, stored, content)


async def test_s2_a_store_that_asks_for_time_gets_it(
    store: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    async with courier_to(store, tmp_path) as courier:
        await until(lambda: proxy.count("DELETE") == 1)
        loop = asyncio.get_running_loop()
        proxy.faults = Faults(status=503, retry_after_s=40)
        began = loop.time()
        sealing = asyncio.create_task(record(courier, tmp_path / "a.mp4", key, sizes=(1000,)))
        await asyncio.sleep(0.3)
        proxy.faults = Faults()
        await sealing
        assert loop.time() - began >= 40 / SPEED
        assert courier.state.failures == 1


async def test_s3_a_store_that_never_answers_is_asked_again(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    async with courier_to(store, tmp_path) as courier:
        proxy.faults = Faults(matches=is_write, hang=True)
        sealing = asyncio.create_task(record(courier, tmp_path / "a.mp4", key, sizes=(1000,)))
        await until(lambda: courier.state.failures > 0)
        assert "no answer within" in str(courier.state.last_error)
        proxy.faults = Faults()
        stored, content = await sealing
    await assert_only(direct, stored, content)


async def test_s3_a_transfer_that_crawls_is_given_up_and_begun_anew(
    direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    settings = s3_settings(proxy.endpoint, patience_s=0.5, slowest_bytes_per_s=20 << 20)
    async with S3Store.open(settings) as store, courier_to(store, tmp_path) as courier:
        await until(lambda: proxy.count("DELETE") == 1)
        proxy.faults = Faults(matches=is_part, bytes_per_s=10_000)
        sealing = asyncio.create_task(record(courier, tmp_path / "a.mp4", key))
        await until(lambda: courier.state.failures >= 2)
        proxy.faults = Faults()
        stored, content = await sealing
    await assert_only(direct, stored, content)


@pytest.mark.parametrize("fault", ["status", "keys", "secret", "bucket", "reader"])
async def test_s4_what_will_never_work_is_known_at_once_and_the_file_is_kept(
    proxy: FaultProxy, tmp_path: Path, key: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes: dict[str, object] = {
        "status": {},
        "keys": {"access_key": "AKIANOBODY", "secret_key": "planted-secret-1"},
        "secret": {"secret_key": "planted-secret-2"},
        "bucket": {"bucket": "nobodys"},
        "reader": dict(zip(("access_key", "secret_key"), READING_KEYS, strict=True)),
    }[fault]
    if fault == "status":
        proxy.faults = Faults(status=403)
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "a.mp4"
    token = "planted-token"  # noqa: S105
    settings = s3_settings(proxy.endpoint, **({"session_token": token} | changes))
    async with S3Store.open(settings) as store, courier_to(store, tmp_path) as courier:
        await until(lambda: courier.state.last_error is not None, within_s=5.0)
        with pytest.raises(DestinationRefused) as refusal:
            await record(courier, path, key)
        told = f"{courier.state.last_error} {refusal.value}"
    assert journal.read(journal.path_of(path)).stage is journal.Stage.SEALED
    assert path.stat().st_size == 2 * PART + 101_000
    text = f"{told} {caplog.text} {settings!r}"
    secrets = (KEYS[0], KEYS[1], READING_KEYS[1], "planted", "AKIANOBODY", "Signature=")
    assert [secret for secret in secrets if secret in text] == []


async def test_s5_a_part_that_was_cut_is_sent_again(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    proxy.faults = Faults(matches=is_part, cut_after_bytes=1_000_000, times=1)
    async with courier_to(store, tmp_path) as courier:
        stored, content = await record(courier, tmp_path / "a.mp4", key)
        assert proxy.faults.times == 0
    await assert_only(direct, stored, content)


@pytest.mark.parametrize("size", [1000, 2 * PART])
@pytest.mark.parametrize("times", [1, 2])
async def test_s6_every_kind_of_answer_may_be_lost(
    store: S3Store,
    direct: S3Store,
    proxy: FaultProxy,
    tmp_path: Path,
    key: str,
    size: int,
    times: int,
) -> None:
    async with courier_to(store, tmp_path) as courier:
        await until(lambda: proxy.count("DELETE") == 1)
        # One after the other: begin, parts, complete; or put.
        hit: set[tuple[str, str]] = set()

        def is_first_of_its_kind(request: web.Request) -> bool:
            kind = (request.method, "&".join(sorted(request.query)), *request.query.values())
            if not is_write(request) or sum(each[0] == kind for each in hit) >= times:
                return False
            hit.add((kind, len(hit)))  # type: ignore[arg-type]
            return True

        proxy.faults = Faults(matches=is_first_of_its_kind, drop_answers=True)
        stored, content = await record(courier, tmp_path / "a.mp4", key, sizes=(size,))
        # The HTTP library repeats by itself a PUT that failed on a connection used before.
        assert len(hit) >= times * (1 if size == 1000 else 4)
    assert stored == key
    await assert_only(direct, key, content)


async def test_s7_bytes_that_arrive_damaged_are_sent_again(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    """The server is told the checksum."""
    proxy.faults = Faults(matches=is_part, flip=True, times=3)
    async with courier_to(store, tmp_path) as courier:
        stored, content = await record(courier, tmp_path / "a.mp4", key)
        assert courier.state.failures == 3
    await assert_only(direct, stored, content)


@pytest.mark.parametrize("sizes", [(1000,), (PART, PART)])
async def test_s8_a_key_that_is_taken_is_left_alone(
    store: S3Store, direct: S3Store, tmp_path: Path, key: str, sizes: tuple[int, ...]
) -> None:
    first = key.replace("a.mp4", "a_1.mp4")
    await direct.put(key, b"older", content_type="video/mp4")
    await direct.put(first, b"old", content_type="video/mp4")
    async with courier_to(store, tmp_path) as courier:
        stored, content = await record(courier, tmp_path / "a.mp4", key, sizes=sizes)
    assert stored == key.replace("a.mp4", "a_2.mp4")
    assert await stored_bytes(direct, stored) == content
    assert await stored_bytes(direct, key) == b"older"
    assert await stored_bytes(direct, first) == b"old"
    assert await direct.uploads(key.partition("/")[0]) == []


@pytest.mark.parametrize("strips", [False, True])
async def test_s8_a_key_that_is_taken_meanwhile_is_left_alone(
    direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str, strips: bool
) -> None:
    """With *strips* row S9: the store knows nothing of conditions."""
    proxy.faults = Faults(remove=remover(direct) if strips else None)
    async with (
        S3Store.open(s3_settings(proxy.endpoint)) as store,
        courier_to(store, tmp_path) as courier,
    ):
        file = GrowingFile(tmp_path / "a.mp4")
        parcel = courier.collect(recorded(key), file.path, key=key, content_type="video/mp4")
        parcel.grew(file.append(PART))
        await until(lambda: proxy.count("PUT", "partNumber") == 1)
        await direct.put(key, b"old", content_type="video/mp4")
        content = file.finish()
        stored = await parcel.seal()
    assert stored.key == key.replace("a.mp4", "a_1.mp4")
    assert await stored_bytes(direct, stored.key) == content
    assert await stored_bytes(direct, key) == b"old"
    assert await direct.uploads(key.partition("/")[0]) == []


@pytest.mark.parametrize("how", ["strips", "refuses"])
async def test_s9_a_store_without_conditions_is_found_out(
    direct: S3Store, proxy: FaultProxy, key: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.faults = (
        Faults(remove=remover(direct))
        if how == "strips"
        else Faults(matches=lambda request: "If-None-Match" in request.headers, status=501)
    )
    async with S3Store.open(s3_settings(proxy.endpoint)) as store:
        await store.put(key, b"new", content_type="video/mp4")
        with pytest.raises(KeyTaken):
            await store.put(key, b"newer", content_type="video/mp4")
    assert await stored_bytes(direct, key) == b"new"
    assert "store may overwrite objects" in caplog.text


async def test_an_upload_that_the_store_has_lost_is_begun_anew(
    store: S3Store, direct: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    async with courier_to(store, tmp_path) as courier:
        file = GrowingFile(tmp_path / "a.mp4")
        parcel = courier.collect(recorded(key), file.path, key=key, content_type="video/mp4")
        for _ in range(2):
            sent = proxy.count("PUT", "partNumber")
            parcel.grew(file.append(PART))
            await until(lambda: proxy.count("PUT", "partNumber") > sent)  # noqa: B023
            for upload in await direct.uploads(key):
                await direct.abort(key, upload.upload_id)
        parcel.grew(file.append(PART))
        content = file.finish()
        stored = await parcel.seal()
    await assert_only(direct, stored.key, content)


async def test_closing_the_courier_leaves_everything_for_recovery(
    store: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(DestinationError, match="left to recovery"):
        async with courier_to(store, tmp_path) as courier:
            file = GrowingFile(path)
            parcel = courier.collect(recorded(key), path, key=key, content_type="video/mp4")
            parcel.grew(file.append(PART))
            await until(lambda: proxy.count("PUT", "partNumber") == 1)
            proxy.faults = Faults(matches=is_part, hang=True)
            parcel.grew(file.append(PART))
            courier._carrier.close()
            await parcel.seal()
    kept = journal.read(journal.path_of(path))
    assert kept.upload_id is not None and kept.file == recorded(key)


async def test_a_frozen_server_is_noticed(server: S3Server, tmp_path: Path, key: str) -> None:
    async with S3Store.open(s3_settings(server.endpoint, patience_s=0.5)) as store:
        await store.check()
        server.freeze()
        try:
            with pytest.raises(DestinationError, match="no answer within"):
                await store.put(key, os.urandom(100), content_type="video/mp4")
        finally:
            server.thaw()
        stored = await store.put(key, b"x", content_type="video/mp4", replace=True)
    assert stored.etag == hashlib.md5(b"x").hexdigest()
