"""A spool with files for several stores, one of which is away."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.media.recordings import flash_and_click
from tests.support.delivering import environment
from tests.support.rtmp import free_port
from tests.support.s3 import S3Server
from tests.support.waiting import until
from worker.app.recovery import STORES_AT_ONCE, recover_spool
from worker.media.mux import Mp4Muxer
from worker.ports import RecordedFile
from worker.settings import Settings, load_settings
from worker.storage import journal
from worker.storage.journal import Journal

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 1.5


def orphan(spool: Path, job_id: str, store: str, key: str) -> Path:
    """What a worker has left that was killed before it delivered anything."""
    file = RecordedFile(
        job_id=job_id,
        file_id="f1",
        record_format="MP4",
        key=key,
        start_s=0.0,
        start_unix_s=1_700_000_000.0,
        width=96,
        height=64,
    )
    path = spool / job_id / "f1.mp4"
    path.parent.mkdir(parents=True)
    programme = flash_and_click(1)
    muxer = Mp4Muxer(path, programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    muxer.close()
    journal.keep(path, Journal(file, key, key, store, "video/mp4"))
    return path


def settings_for(spool: Path, endpoint: str) -> Settings:
    return load_settings(None, environment(spool, endpoint))


async def test_a_store_that_is_away_holds_up_no_other(tmp_path: Path) -> None:
    spool, there = tmp_path / "spool", tmp_path / "store"
    for number in range(STORES_AT_ONCE):
        orphan(spool, f"a-{number}", "s3://rec", f"a-{number}.mp4")
    orphan(spool, "b", there.as_uri(), "b.mp4")
    away = settings_for(spool, f"http://127.0.0.1:{free_port()}")
    recovering = asyncio.create_task(recover_spool(away))
    await until(lambda: not (spool / "b").exists())
    assert (there / "b.mp4").exists()
    assert not recovering.done(), "the other store is asked for as long as it takes"
    recovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recovering
    assert sorted(path.name for path in spool.iterdir()) == [
        f"a-{number}" for number in range(STORES_AT_ONCE)
    ]


async def test_a_store_that_stays_away_is_given_up_once_and_nothing_is_lost(
    server: S3Server, tmp_path: Path
) -> None:
    spool, there = tmp_path / "spool", tmp_path / "store"
    folder = f"patience-{free_port()}"
    left = [orphan(spool, f"a-{n}", "s3://rec", f"{folder}/{n}.mp4") for n in range(3)]
    orphan(spool, "b", there.as_uri(), "b.mp4")
    away = settings_for(spool, f"http://127.0.0.1:{free_port()}")
    began_s = time.monotonic()
    found = await recover_spool(away, patience_s=PATIENCE_S)
    took_s = time.monotonic() - began_s
    print(f"gave up after {took_s:.1f} s")
    assert took_s >= PATIENCE_S
    assert [each.name for each in found] == ["f1.mp4"] * 4
    assert ["the connection failed" in (each.error or "") for each in found] == [
        *[True] * 3,
        False,
    ]
    assert all(path.exists() for path in left)

    found = await recover_spool(settings_for(spool, server.endpoint), patience_s=PATIENCE_S)
    assert [(each.location, each.error) for each in found] == [("s3://rec", None)] * 3
    assert list(spool.iterdir()) == []
    assert await recover_spool(settings_for(spool, server.endpoint)) == []
