"""What killed workers leave behind is finished by the next one (row S10)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from tests.media.recordings import flash_and_click, probe, strict_complaints
from tests.storage import killed_worker
from tests.storage.conftest import s3_settings
from tests.storage.material import (
    PART,
    GrowingFile,
    KeptEvents,
    QuickClock,
    courier_to,
    names,
    recorded,
    stored_bytes,
)
from tests.support.s3_faults import FaultProxy, Faults
from tests.support.waiting import until
from worker.errors import DestinationRefused
from worker.media import mux
from worker.media.leftover import finish_leftover
from worker.media.mp4_boxes import box
from worker.media.mux import Mp4Muxer
from worker.ports import RecordEvent, Store
from worker.storage import journal, ledger
from worker.storage.ledger import StoredSegment
from worker.storage.recovery import Recovered, recover_job
from worker.storage.s3_store import S3Store
from worker.storage.spool import JobSpool, Spool

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 4.0
PADDING_BOXES = 192
"""Of 64 KiB, which nobody looks at: a short recording is as large as one of many parts."""


@pytest.fixture
def store(bucket: S3Store) -> S3Store:
    return bucket


@pytest.fixture
def key() -> str:
    return f"{uuid4().hex}/a.mp4"


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 of 12 MiB as it is while it grows: fragments and no index."""
    path = tmp_path_factory.mktemp("unfinished") / "small.mp4"
    programme = flash_and_click(SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mux, "write_index", lambda file, _: file.finish())
        muxer = Mp4Muxer(path, programme.program)
        for packet in programme.packets:
            muxer.write(packet)
        muxer.close()
    padding = b"".join(box(b"free", os.urandom(64 << 10)) for _ in range(PADDING_BOXES))
    large = path.with_name("large.mp4")
    large.write_bytes(path.read_bytes() + padding)
    assert strict_complaints(large) == ""
    return large


async def recovered(
    spool: Path, store: Store, events: KeptEvents, finish: Callable[[Path], float] = finish_leftover
) -> list[Recovered]:
    @asynccontextmanager
    async def store_for(address: str) -> AsyncIterator[Store]:
        if address != store.address:
            raise DestinationRefused(f"no keys for {address}")
        yield store

    @asynccontextmanager
    async def events_for(_: JobSpool) -> AsyncIterator[KeptEvents]:
        yield events

    found: list[Recovered] = []
    everything = Spool(spool, floor_bytes=0)
    for folder in everything.folders():
        job = everything.orphan(folder)
        assert job is not None
        with job:
            found += await recover_job(
                job, store_for, events_for, finish, clock=QuickClock(), random=Random(1)
            )
    return found


@asynccontextmanager
async def killed_after(
    condition: Callable[[], bool], *arguments: str | Path
) -> AsyncIterator[None]:
    """Run `killed_worker` and kill it -9 when the condition holds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", killed_worker.__name__, *map(str, arguments)
    )
    try:
        await until(condition, within_s=30)
    finally:
        process.kill()
        await process.wait()
    yield


@pytest.mark.parametrize("moment", ["upload", "answer", "small"])
async def test_a_worker_killed_during_its_upload_loses_nothing(
    store: S3Store, proxy: FaultProxy, tmp_path: Path, key: str, unfinished: Path, moment: str
) -> None:
    source = unfinished if moment != "small" else unfinished.with_name("small.mp4")
    # `answer`: the object is complete, and its worker is killed before it hears of that.
    if moment == "answer":
        proxy.faults = Faults(
            matches=lambda request: request.method == "POST" and "uploadId" in request.query,
            drop_answers=True,
        )
    path = tmp_path / "job" / "f1.mp4"

    def is_time() -> bool:
        if moment == "upload":
            return proxy.count("PUT", "partNumber") >= 2
        if moment == "answer":
            return proxy.count("POST", "uploadId=") >= 1
        return journal.path_of(path).exists() and path.stat().st_size == source.stat().st_size

    arguments = (proxy.endpoint, tmp_path, source, key, "seal" if moment == "answer" else "-")
    async with killed_after(is_time, *arguments):
        assert journal.path_of(path).exists()
    uploads = await store.uploads(key)
    assert len(uploads) == (1 if moment == "upload" else 0)

    events = KeptEvents()
    (done,) = await recovered(tmp_path, store, events)
    (event,) = events.completed
    assert done.error is None
    assert (event.file, event.location) == (recorded(key), "s3://rec")
    assert event.duration_s == pytest.approx(SECONDS, abs=0.1)
    assert event.size > 2 * PART or moment == "small"
    folder = key.partition("/")[0]
    listed = await store._client.list_objects_v2(Bucket="rec", Prefix=folder)
    assert [(each["Key"], each["Size"]) for each in listed["Contents"]] == [(key, event.size)]
    assert await store.uploads(folder) == []
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(await stored_bytes(store, key))
    assert set(probe(copy)) == {"video", "audio"}
    assert strict_complaints(copy) == ""
    assert names(tmp_path) == ["copy.mp4"]

    assert await recovered(tmp_path, store, events) == []
    assert len(events.completed) == 1


async def abandoned(
    store: Store, directory: Path, key: str, *, parts: int = 2, file_id: str = "f1"
) -> GrowingFile:
    """A file whose worker has stopped short: so many parts stored, a bit more written."""
    file = GrowingFile(directory / f"{file_id}.mp4")
    async with courier_to(store, directory) as courier:
        parcel = courier.collect(
            recorded(key, file_id=file_id), file.path, key=key, content_type="video/mp4"
        )
        parcel.grew(file.append(parts * PART + 5000))
        await until(lambda: courier.state.uploaded_bytes == parts * PART)
    return file


async def test_parts_that_are_there_are_not_sent_again_unless_the_file_has_changed(
    store: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    file = await abandoned(store, tmp_path / "job", key, parts=3)
    content: list[bytes] = []

    def finish(path: Path) -> float:
        content.append(file.finish())
        return 7.5

    events = KeptEvents()
    async with S3Store.open(s3_settings(proxy.endpoint)) as other:
        (done,) = await recovered(tmp_path, other, events, finish)
    # Part 1, whose head has changed, and the last.
    assert proxy.count("PUT", "partNumber") == 2
    assert done.size == len(content[0])
    assert await stored_bytes(store, key) == content[0]
    assert [event.duration_s for event in events.completed] == [7.5]


async def test_a_crash_between_storing_and_announcing_announces_the_same_again(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    class Dying(KeptEvents):
        async def publish(self, event: RecordEvent) -> None:
            await super().publish(event)
            raise RuntimeError("killed here")

    file = await abandoned(store, tmp_path / "job", key)
    first, second = Dying(), KeptEvents()
    with pytest.raises(RuntimeError):
        await recovered(tmp_path, store, first, lambda path: 1.0)
    assert file.path.exists()
    await recovered(tmp_path, store, second, lambda path: 1.0)
    assert first.events == second.events
    assert len(second.events) == 1
    assert await recovered(tmp_path, store, second) == []


async def test_uploads_nobody_knows_of_are_aborted_and_those_of_others_left(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    await abandoned(store, tmp_path / "job", key)
    await store.begin(key, content_type="video/mp4")
    await store.begin(key.replace("a.mp4", "a_1.mp4"), content_type="video/mp4")
    other = key.replace("a.mp4", "a_b.mp4")
    await store.begin(other, content_type="video/mp4")
    await recovered(tmp_path, store, KeptEvents(), lambda path: 1.0)
    (left,) = await store.uploads(key.partition("/")[0])
    assert left.key == other
    await store.abort(left.key, left.upload_id)


async def test_a_file_of_which_nothing_can_be_saved_leaves_no_upload_and_no_event(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    await abandoned(store, tmp_path / "job", key)  # noise is no MP4
    events = KeptEvents()
    (done,) = await recovered(tmp_path, store, events)
    assert done.error is not None
    assert events.events == []
    assert await store.uploads(key) == []
    assert names(tmp_path / "job") == [".lock", "f1.mp4.unreadable"]


async def test_what_cannot_be_stored_now_stays_for_later(
    store: S3Store, proxy: FaultProxy, tmp_path: Path, key: str
) -> None:
    await abandoned(store, tmp_path / "job", key)
    proxy.faults = Faults(matches=lambda request: request.method == "POST", status=403)
    events = KeptEvents()
    async with S3Store.open(s3_settings(proxy.endpoint)) as other:
        (done,) = await recovered(tmp_path, other, events, lambda path: 1.0)
    assert done.error is not None and "403" in done.error
    assert events.events == []
    (done,) = await recovered(tmp_path, store, events, lambda path: 1.0)
    assert done.error is None and len(events.completed) == 1


async def test_files_of_a_store_without_keys_and_strange_files_are_named(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (job / "f1.mp4").write_bytes(b"x")
    kept = journal.Journal(recorded(key), key, key, "s3://another", "video/mp4")
    journal.keep(job / "f1.mp4", kept)
    (job / "f2.mp4").write_bytes(b"x")
    (job / "f3.mp4.parcel.json").write_text('{"version": 99}')
    done = await recovered(tmp_path, store, KeptEvents())
    assert {(each.name, each.error) for each in done} == {
        ("f2.mp4", "nobody has noted what it is"),
        ("f3.mp4.parcel.json", "f3.mp4.parcel.json is no journal of ours"),
        ("s3://another", "no keys for s3://another"),
    }
    assert (job / "f1.mp4").exists()


async def test_an_hls_recording_is_completed_with_the_segments_that_were_left(
    store: S3Store, tmp_path: Path, key: str
) -> None:
    folder = key.partition("/")[0]
    file = recorded(f"{folder}/a.m3u8", record_format="HLS")
    job = tmp_path / "job"
    job.mkdir()
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:4"]
    for number in range(3):
        lines += ["#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z", "#EXTINF:4.000000,"]
        lines += [f"f1_{number:05}.ts"]
    (job / "f1.m3u8").write_text("\n".join(lines) + "\n#EXTINF:4.0")
    # The first is stored, the second and third are not, the fourth was still growing.
    await store.put(f"{folder}/a_00000.ts", b"0" * 188, content_type="video/mp2t")
    segment = StoredSegment("f1_00000.ts", f"{folder}/a_00000.ts", 188)
    ledger.note(job, file, store.address, segment)
    for number in (1, 2, 3):
        path = job / f"f1_{number:05}.ts"
        path.write_bytes(str(number).encode() * 188)
        name = f"{folder}/a_{number:05}.ts"
        stage = journal.Stage.GROWING if number == 3 else journal.Stage.SEALED
        kept = journal.Journal(file, name, name, store.address, "video/mp2t", stage)
        journal.keep(path, kept)
    events = KeptEvents()
    (done,) = await recovered(tmp_path, store, events, lambda path: 1.5)
    assert done.error is None
    playlist = (await stored_bytes(store, file.key)).decode()
    stamp = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z"
    assert playlist.splitlines() == [
        *lines[:2],
        *(stamp, "#EXTINF:4.000000,", "a_00000.ts"),
        *(stamp, "#EXTINF:4.000000,", "a_00001.ts"),
        *(stamp, "#EXTINF:4.000000,", "a_00002.ts"),
        *("#EXTINF:1.500000,", "a_00003.ts"),
        "#EXT-X-ENDLIST",
    ]
    for number in range(4):
        assert await stored_bytes(store, f"{folder}/a_{number:05}.ts") == b"%d" % number * 188
    (event,) = events.completed
    assert (event.file, event.duration_s) == (file, 13.5)
    assert event.size == 4 * 188 + len(playlist)
    assert names(tmp_path) == []
