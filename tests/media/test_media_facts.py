import shutil
from pathlib import Path

import pytest

from tests.media.recordings import TEMPLATE, flash_and_click
from worker.errors import MediaError
from worker.media.facts import recording_facts
from worker.media.mux import Mp4Muxer


def test_facts_of_a_closed_file_are_what_was_put_in(tmp_path: Path) -> None:
    programme = flash_and_click(3.0)
    path = tmp_path / "a.mp4"
    muxer = Mp4Muxer(path, programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    copy = tmp_path / "killed.mp4"
    shutil.copy(path, copy)
    muxer.close()

    facts = recording_facts(path)
    assert (facts.frames, facts.video_size) == (90, TEMPLATE.size)
    assert facts.duration_s == pytest.approx(3.0, abs=1e-3)
    assert facts.video_duration_s == pytest.approx(3.0, abs=1e-3)
    assert facts.audio_duration_s == pytest.approx(3.0, abs=1e-3)
    assert facts.size_bytes == path.stat().st_size
    assert facts.bitrate_kbps == pytest.approx(facts.size_bytes * 8 / 3000, rel=0.01)

    # The copy was never closed: there is no index, and the last fragment may be missing.
    killed = recording_facts(copy)
    assert 75 <= killed.frames <= 90
    assert killed.video_duration_s == pytest.approx(killed.frames / 30, abs=1e-3)
    assert 2.5 <= killed.audio_duration_s <= 3.0


def test_sound_alone_has_no_picture_size(tmp_path: Path) -> None:
    programme = flash_and_click(2.0, with_video=False)
    muxer = Mp4Muxer(tmp_path / "a.mp4", programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    muxer.close()
    facts = recording_facts(tmp_path / "a.mp4")
    assert (facts.frames, facts.video_size, facts.video_duration_s) == (0, None, 0.0)
    assert facts.duration_s == pytest.approx(2.0, abs=1e-3)


def test_anything_else_is_a_media_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0" * 1000)
    for name in ("a.mp4", "missing.mp4"):
        with pytest.raises(MediaError):
            recording_facts(tmp_path / name)
