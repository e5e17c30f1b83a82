import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.errors import DestinationError, DestinationRefused
from worker.storage.spool import Spool

HOLD = """
import sys, time
from pathlib import Path
from worker.storage.spool import Spool
job = Spool(Path(sys.argv[1]), floor_bytes=0).claim("job-1")
(job.directory / "a.mp4").write_bytes(b"x")
print("held", flush=True)
time.sleep(60)
"""


def test_a_folder_belongs_to_one_process_until_that_is_dead(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", floor_bytes=0)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(spool.root)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(DestinationError, match="running already"):
            spool.claim("job-1")
        assert spool.orphan(spool.root / "job-1") is None
    finally:
        holder.kill()
        holder.communicate()
    (folder,) = spool.folders()
    assert folder == spool.root / "job-1"
    orphan = spool.orphan(folder)
    assert orphan is not None
    assert (orphan.directory / "a.mp4").read_bytes() == b"x"
    assert spool.orphan(folder) is None, "it is claimed"
    orphan.release()
    assert (spool.root / "job-1").exists()


def test_an_empty_folder_goes_when_it_is_released(tmp_path: Path) -> None:
    spool = Spool(tmp_path, floor_bytes=0)
    with spool.claim("job") as job:
        (job.directory / "a").write_bytes(b"")
        (job.directory / "a").unlink()
    assert list(tmp_path.iterdir()) == []
    with spool.claim("job") as job:
        assert spool.orphan(job.directory) is None


def test_what_was_not_written_to_its_end_does_not_keep_a_folder(tmp_path: Path) -> None:
    """A crash between writing a journal anew and giving it its name."""
    with Spool(tmp_path, floor_bytes=0).claim("job") as job:
        (job.directory / ".a.mp4.parcel.json.new").write_bytes(b"{")
    assert list(tmp_path.iterdir()) == []


def test_below_the_floor_no_job_is_begun(tmp_path: Path) -> None:
    facts = os.statvfs(tmp_path)
    spool = Spool(tmp_path, floor_bytes=facts.f_bavail * facts.f_frsize * 2)
    assert spool.is_low()
    with pytest.raises(DestinationError, match="MiB left"):
        spool.claim("job")
    assert not Spool(tmp_path, floor_bytes=1).is_low()


@pytest.mark.parametrize("job_id", ["", "..", ".lock", "a/b", "a\0", "x" * 129, "ä"])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(DestinationRefused):
        Spool(tmp_path, floor_bytes=0).claim(job_id)


def test_a_spool_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DestinationError):
        Spool(tmp_path / "file", floor_bytes=0).claim("job")
    assert Spool(tmp_path / "none").folders() == []
    assert Spool(tmp_path).orphan(tmp_path / "gone") is None
    assert not (tmp_path / "gone").exists()
