"""Uploads whose spool is gone: what is completed, and what is nobody's business."""

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.media.recordings import flash_and_click
from tests.storage import killed_worker
from tests.storage.material import PART, courier_to, recorded, stored_bytes
from tests.support.delivering import environment
from tests.support.look import Recording
from tests.support.s3_faults import FaultProxy
from tests.support.waiting import until
from worker.app.recovery import salvage_store
from worker.errors import InvalidField
from worker.media import mux
from worker.media.mux import Mp4Muxer
from worker.ports import Store, StreamKind
from worker.settings import Settings
from worker.storage.file_store import FileStore
from worker.storage.s3_store import S3Store
from worker.storage.salvage import Salvaged, salvage
from worker.storage.spool import Spool

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG_AGO_UNIX_S, SOON_UNIX_S = 0.0, 1e12
SECONDS = 4.0
FPS = 30
FILLER_BYTES = 110_000
RECOVER = """
import asyncio
from worker.cli.recover import RecoverOptions, recover_all
from worker.settings import load_settings
options = RecoverOptions(store="{store}", older_than_h={older_than_h})
raise SystemExit(asyncio.run(recover_all(load_settings(None), options)))
"""


def filled(data: bytes) -> bytes:
    """A picture as large as one of a hundred times the bitrate: NAL units of type 12 are fill."""
    return data + b"\x00\x00\x01\x0c" + b"\xff" * FILLER_BYTES + b"\x80"


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 of 12 MiB and four seconds, as it is while it grows."""
    path = tmp_path_factory.mktemp("growing") / "large.mp4"
    programme = flash_and_click(SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mux, "write_index", lambda file, _: file.finish())
        muxer = Mp4Muxer(path, programme.program)
        for packet in programme.packets:
            if packet.kind is StreamKind.VIDEO:
                packet = replace(packet, data=filled(packet.data))
            muxer.write(packet)
        muxer.close()
    assert path.stat().st_size > 2 * PART
    return path


@pytest.fixture
def folder() -> str:
    return uuid4().hex


def content(path: Path) -> bytes:
    return path.read_bytes()


async def upload(store: Store, key: str, *sizes: tuple[int, int]) -> str:
    """An open upload with parts of these numbers and sizes."""
    upload_id = await store.begin(key, content_type="video/mp4")
    for number, size in sizes:
        await store.put_part(key, upload_id, number, bytes([number]) * size)
    return upload_id


async def ended(*arguments: str, settings: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments), env=os.environ | settings, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


@pytest.mark.parametrize("kind", ["s3", "file"])
async def test_parts_are_completed_as_far_as_they_go_and_nothing_else_is_touched(
    bucket: S3Store, tmp_path: Path, folder: str, kind: str
) -> None:
    async with FileStore.open(tmp_path) as files:
        store = bucket if kind == "s3" else files
        await upload(store, f"{folder}/whole.mp4", (1, PART), (2, PART), (3, 100))
        await upload(store, f"{folder}/hole.mp4", (1, PART), (3, PART))
        await upload(store, f"{folder}/headless.mp4", (2, PART))
        await upload(store, f"{folder}/empty.mp4")
        # Of other programs: another ending, and parts of another size.
        await upload(store, f"{folder}/backup.tar", (1, PART))
        await upload(store, f"{folder}/film.mp4", (1, PART + 1), (2, PART))
        await upload(store, f"{folder}/taken.mp4", (1, PART))
        await store.put(f"{folder}/taken.mp4", b"precious", content_type="video/mp4")
        mine = await upload(store, f"{folder}/living.mp4", (1, PART))

        async def saved(prefix: str, quiet_since_unix_s: float) -> dict[str, Salvaged]:
            found = await salvage(
                store, prefix, quiet_since_unix_s=quiet_since_unix_s, known={mine}
            )
            return {each.key.removeprefix(f"{folder}/"): each for each in found}

        assert await saved("elsewhere", SOON_UNIX_S) == {}
        fresh = await saved(folder, LONG_AGO_UNIX_S)
        assert all(each.stored is None for each in fresh.values())
        assert fresh["whole.mp4"].left_because == "it may be growing"

        found = await saved(folder, SOON_UNIX_S)
        sizes = {name: each.stored.size for name, each in found.items() if each.stored}
        assert sizes == {"whole.mp4": 2 * PART + 100, "hole.mp4": PART}
        assert {name: each.left_because for name, each in found.items() if not each.stored} == {
            "headless.mp4": "its beginning is missing, or is none of ours",
            "film.mp4": "its beginning is missing, or is none of ours",
            "empty.mp4": "nothing of it has come",
            "taken.mp4": "there is an object of that name",
        }
        assert await stored_bytes(store, f"{folder}/taken.mp4") == b"precious"
        left = {each.key.removeprefix(f"{folder}/") for each in await store.uploads(folder)}
        assert left == {*found, "backup.tar", "living.mp4"} - set(sizes)
        again = await saved(folder, SOON_UNIX_S)
        assert {name: each.stored for name, each in again.items()} == dict.fromkeys(
            found.keys() - sizes.keys()
        )


async def test_a_killed_worker_whose_spool_is_gone_leaves_a_recording_that_plays(
    bucket: S3Store, proxy: FaultProxy, tmp_path: Path, growing: Path, folder: str
) -> None:
    """As when a machine is lost with its disk: by the command, with a second run that is idle."""
    key = f"{folder}/a.mp4"
    arguments = (proxy.endpoint, tmp_path / "spool", growing, key, "-")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", killed_worker.__name__, *map(str, arguments))
    )
    try:
        await until(lambda: proxy.count("PUT", "partNumber") >= 2, within_s=30)
    finally:
        process.kill()
        await process.wait()
    settings = environment(tmp_path / "spool", proxy.endpoint)

    def command(store: str, older_than_h: float = 0.0) -> tuple[str, str]:
        return "-c", RECOVER.format(store=store, older_than_h=older_than_h)

    # While there is a spool that knows of it, that is where it is recovered from.
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "spool", moved)
    with Spool(tmp_path / "spool", floor_bytes=0).claim("job") as living:
        shutil.copytree(moved / "job", living.directory, dirs_exist_ok=True)
        assert await ended(*command(f"s3://rec/{folder}"), settings=settings) == (0, "")
    shutil.rmtree(tmp_path / "spool")

    code, told = await ended(*command(f"s3://rec/{folder}", 24.0), settings=settings)
    assert (code, told) == (0, f"{key}: left alone (it may be growing)\n")
    code, told = await ended(*command("s3://rec/elsewhere"), settings=settings)
    assert (code, told) == (0, "")
    code, told = await ended(*command(f"s3://rec/{folder}"), settings=settings)
    assert (code, told) == (0, f"{key}: its first {2 * PART} bytes, all that came\n")
    assert await bucket.uploads(folder) == []
    assert await ended(*command(f"s3://rec/{folder}"), settings=settings) == (0, "")

    data = await stored_bytes(bucket, key)
    whole = content(growing)
    assert data == whole[: 2 * PART]
    (tmp_path / "a.mp4").write_bytes(data)
    recording = Recording(tmp_path / "a.mp4")
    share = len(data) / len(whole)
    print(f"{recording.video.packets} of {SECONDS * FPS:.0f} pictures, {share:.0%} of the bytes")
    assert recording.video.packets / FPS >= SECONDS * share - 0.25


async def test_a_worker_that_lives_all_the_same_begins_anew_and_loses_nothing(
    bucket: S3Store, tmp_path: Path, folder: str
) -> None:
    """It could not reach the store for a day, and somebody has made do with what was there."""
    key = f"{folder}/a.mp4"
    path = tmp_path / "f1.mp4"
    data = os.urandom(2 * PART + 1000)
    path.write_bytes(data)
    async with courier_to(bucket, tmp_path) as courier:
        parcel = courier.collect(recorded(key), path, key=key, content_type="video/mp4")
        parcel.grew(PART)
        await until(lambda: parcel.pending_bytes == 0)
        (saved,) = await salvage(bucket, folder, quiet_since_unix_s=SOON_UNIX_S, known=())
        assert saved.stored is not None and saved.stored.size == PART
        parcel.grew(len(data))
        stored = await parcel.seal()
    assert stored.key == f"{folder}/a_1.mp4"
    assert await stored_bytes(bucket, stored.key) == data
    assert await stored_bytes(bucket, key) == data[:PART]
    assert await bucket.uploads(folder) == []


async def test_an_address_that_is_none_is_refused() -> None:
    for text in ("rec", "s3://", "https://s3.example/rec", "file://relative"):
        with pytest.raises(InvalidField):
            await salvage_store(Settings(), text, location="", quiet_since_unix_s=LONG_AGO_UNIX_S)
