"""A spool whose disk fills up, on a real file system."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.delivering import Bucket, delivering, environment, recover
from tests.support.live import worker
from tests.support.look import Recording
from tests.support.s3 import s3_server

FPS = 15


@contextmanager
def small_disk(path: Path, megabytes: float) -> Iterator[None]:
    """A file system of its own at *path*, with so much room."""
    path.mkdir()
    size = f"size={round(megabytes * 1024)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.timeout(150)
async def test_a_full_disk_ends_a_file_whole_and_another_begins_when_there_is_room(
    tmp_path: Path,
) -> None:
    """Row P9: the store is away until the spool is full."""
    async with s3_server(tmp_path / "s3") as s3, Bucket.at(s3.endpoint) as bucket:
        with small_disk(tmp_path / "spool", 2.5):
            settings = environment(tmp_path / "spool", s3.endpoint)
            settings |= {"MIXWORKER_SPOOL__FLOOR_MB": "1"}
            async with worker(delivering(tmp_path, 40), settings) as recorder:
                await recorder.recorded(2)
                s3.freeze()
                await recorder.recorded(24)
                s3.thaw()
                assert await recorder.ended() in (0, 74), recorder.said
            assert await recover(settings) == 0
        files = await bucket.download(tmp_path / "bucket")
        assert await bucket.open_uploads() == []
    outputs = {output["name"]: output for output in recorder.result["outputs"]}
    assert "No space left" in str(outputs["record-mp4"]["error"])
    mp4 = sorted(path for key, path in files.items() if key.endswith(".mp4"))
    assert len(mp4) >= 2
    kept_s = 0.0
    for path in mp4:
        recording = Recording(path)
        assert recording.decode_errors() == ""
        kept_s += recording.video.packets / FPS
    print(f"{len(mp4)} files, {kept_s:.1f} of 40 s kept")
    assert kept_s >= 16
    for key, path in files.items():
        if key.endswith(".m3u8"):
            assert Recording(path).decode_errors() == ""
