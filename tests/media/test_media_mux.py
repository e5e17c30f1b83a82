import errno
import os
import random
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.recordings import (
    TEMPLATE,
    Programme,
    decoded_left,
    decoded_luma,
    flash_and_click,
    probe,
    strict_complaints,
)
from worker.errors import DestinationError, InternalError
from worker.media import fragment_file
from worker.media.mux import Mp4Muxer
from worker.ports import EncodedPacket, Program, StreamKind

FRAME_S = 1 / TEMPLATE.fps
MOST_LOST_S = 1.0


@pytest.fixture(scope="module")
def programme() -> Programme:
    return flash_and_click(4.0)


def write(path: Path, programme: Programme) -> None:
    muxer = Mp4Muxer(path, programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    muxer.close()


def boxes(data: bytes) -> list[str]:
    """Types of the top-level boxes, read apart from the writer's own walk."""
    found = []
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : position + 8].decode("latin-1"))
        if size == 0:
            break
        position += size
    return found


def strictly_decoded(path: Path) -> tuple[int, float]:
    """Frames and seconds of audio of a file every packet of which decodes; raises if one fails."""
    frames, audio_end = 0, 0.0
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        for packet in container.demux():
            for frame in packet.decode():
                assert not frame.is_corrupt
                if isinstance(frame, av.VideoFrame):
                    frames += 1
                else:
                    audio_end = frame.time + frame.samples / 48_000
    return frames, audio_end


def given(packets: list[EncodedPacket], kind: StreamKind) -> float:
    """Seconds of media in *packets*."""
    unit = FRAME_S if kind is StreamKind.VIDEO else 1 / 48_000
    ends = [packet.pts + packet.duration for packet in packets if packet.kind is kind]
    return max(ends, default=0) * unit


# --- a closed file --------------------------------------------------------------------------


def test_a_closed_file_is_an_ordinary_mp4_without_a_flaw(
    tmp_path: Path, programme: Programme
) -> None:
    path = tmp_path / "a.mp4"
    write(path, programme)
    assert boxes(path.read_bytes()) == ["ftyp", "mdat", "moov"]
    assert strict_complaints(path) == ""
    streams = probe(path)
    assert int(streams["video"]["nb_frames"]) == 120
    assert streams["video"]["avg_frame_rate"] == "30/1"
    assert streams["video"]["profile"] == "High"
    assert streams["audio"]["profile"] == "LC"
    assert (streams["audio"]["sample_rate"], streams["audio"]["channels"]) == ("48000", 2)
    video_s, audio_s = (float(streams[kind]["duration"]) for kind in ("video", "audio"))
    assert video_s == pytest.approx(4.0, abs=1e-3)
    assert abs(video_s - audio_s) < FRAME_S


def test_the_colour_space_is_in_the_file(tmp_path: Path, programme: Programme) -> None:
    write(tmp_path / "a.mp4", programme)
    video = probe(tmp_path / "a.mp4")["video"]
    assert (video["color_range"], video["color_space"]) == ("tv", "smpte170m")
    assert (video["color_primaries"], video["color_transfer"]) == ("bt709", "bt709")


@pytest.mark.parametrize("click_sample", [500, 48_000, 100_001])
def test_sample_m_is_heard_at_m_and_frame_k_is_seen_at_k(tmp_path: Path, click_sample: int) -> None:
    path = tmp_path / "a.mp4"
    write(path, flash_and_click(3.0, flash_tick=47, click_sample=click_sample))
    luma = decoded_luma(path, TEMPLATE.size)
    assert len(luma) == 90
    assert int(np.argmax(luma.mean(axis=(1, 2)))) == 47
    sound = np.abs(decoded_left(path))
    assert int(np.argmax(sound > 0.3)) == pytest.approx(click_sample, abs=48)
    assert float(probe(path)["video"]["start_time"]) == 0.0


def test_the_clock_is_the_same_in_a_file_that_was_never_closed(
    tmp_path: Path, programme: Programme
) -> None:
    muxer = Mp4Muxer(tmp_path / "a.mp4", programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    copy = tmp_path / "copy.mp4"
    shutil.copy(tmp_path / "a.mp4", copy)
    muxer.close()
    assert int(np.argmax(decoded_luma(copy, TEMPLATE.size).mean(axis=(1, 2)))) == 45
    assert int(np.argmax(np.abs(decoded_left(copy)) > 0.3)) == pytest.approx(72_000, abs=48)


@pytest.mark.parametrize("kind", list(StreamKind))
def test_one_stream_is_enough(tmp_path: Path, kind: StreamKind) -> None:
    programme = flash_and_click(
        2.0, with_video=kind is StreamKind.VIDEO, with_audio=kind is StreamKind.AUDIO
    )
    path = tmp_path / "a.mp4"
    write(path, programme)
    assert strict_complaints(path) == ""
    assert list(probe(path)) == [kind.value]


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_a_job_that_ended_at_once_leaves_a_file_with_an_index(tmp_path: Path, ticks: int) -> None:
    path = tmp_path / "a.mp4"
    write(path, flash_and_click(ticks / 30))
    assert int(probe(path)["video"].get("nb_frames", 0)) == ticks
    if ticks:
        assert strict_complaints(path) == ""


# --- a file that was not closed -------------------------------------------------------------


def test_a_growing_file_copied_at_any_moment_plays_and_lacks_less_than_a_second(
    tmp_path: Path, programme: Programme
) -> None:
    source = random.Random(11)
    path, copy = tmp_path / "a.mp4", tmp_path / "copy.mp4"
    muxer = Mp4Muxer(path, programme.program)
    for index, packet in enumerate(programme.packets):
        muxer.write(packet)
        written = programme.packets[: index + 1]
        video_s, audio_s = given(written, StreamKind.VIDEO), given(written, StreamKind.AUDIO)
        if min(video_s, audio_s) < MOST_LOST_S or source.random() > 0.15:
            continue
        shutil.copy(path, copy)
        frames, audio_end = strictly_decoded(copy)
        assert frames * FRAME_S > video_s - MOST_LOST_S
        assert audio_end > audio_s - MOST_LOST_S
    muxer.close()


def test_a_file_has_something_to_play_after_a_quarter_of_a_second_of_media(
    tmp_path: Path, programme: Programme
) -> None:
    path = tmp_path / "a.mp4"
    muxer = Mp4Muxer(path, programme.program)
    written = []
    for packet in programme.packets:
        muxer.write(packet)
        written.append(packet)
        if min(given(written, kind) for kind in StreamKind) >= 0.25:
            break
    shutil.copy(path, tmp_path / "copy.mp4")
    muxer.close()
    frames, audio_end = strictly_decoded(tmp_path / "copy.mp4")
    assert frames >= 6 and audio_end >= 0.15


def test_a_kill_between_any_two_bytes_leaves_a_file_that_plays(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[tuple[int, bytes]] = []
    pwrite = os.pwrite

    def recorded(descriptor: int, data: memoryview, offset: int) -> int:
        writes.append((offset, bytes(data)))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(fragment_file.os, "pwrite", recorded)
    write(tmp_path / "a.mp4", programme)
    assert (tmp_path / "a.mp4").read_bytes() == _replayed(writes, len(writes), 0)

    source = random.Random(3)
    first_fragment = next(
        index for index, (_, data) in enumerate(writes) if data[4:8] == b"moof" and len(data) == 8
    )
    complaints = {}
    best = 0
    for index in range(first_fragment + 1, len(writes)):
        size = len(writes[index][1])
        # Eight bytes within one page reach the file together or not at all.
        for torn in {0} if size == 8 else {0, 1, size - 1, source.randrange(size)}:
            path = tmp_path / "torn.mp4"
            path.write_bytes(_replayed(writes, index, torn))
            try:
                frames, _ = strictly_decoded(path)
            except av.FFmpegError as exc:
                complaints[index, torn] = str(exc)
                continue
            assert frames >= best
            best = frames
    assert complaints == {}
    assert best == 120


@pytest.mark.parametrize("writes_left", [1, 2, 3, 4])
def test_ffmpeg_has_nothing_to_say_about_a_file_killed_while_closing(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch, writes_left: int
) -> None:
    writes: list[tuple[int, bytes]] = []
    pwrite = os.pwrite

    def recorded(descriptor: int, data: memoryview, offset: int) -> int:
        writes.append((offset, bytes(data)))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(fragment_file.os, "pwrite", recorded)
    write(tmp_path / "a.mp4", programme)
    killed = tmp_path / "killed.mp4"
    index = len(writes) - writes_left
    size = len(writes[index][1])
    killed.write_bytes(_replayed(writes, index, 0 if size == 8 else size // 2))
    assert strict_complaints(killed) == ""


def _replayed(writes: list[tuple[int, bytes]], whole: int, torn: int) -> bytes:
    """The file after *whole* writes and the first *torn* bytes of the next."""
    data = bytearray()
    parts = writes[:whole] + ([(writes[whole][0], writes[whole][1][:torn])] if torn else [])
    for offset, part in parts:
        data.extend(bytes(max(0, offset + len(part) - len(data))))
        data[offset : offset + len(part)] = part
    return bytes(data)


# --- errors ---------------------------------------------------------------------------------


def test_an_existing_file_is_never_overwritten(tmp_path: Path, programme: Programme) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(DestinationError, match="exists"):
        Mp4Muxer(path, programme.program)
    assert path.read_bytes() == b"precious"


def test_a_missing_directory_is_a_destination_error(tmp_path: Path, programme: Programme) -> None:
    with pytest.raises(DestinationError):
        Mp4Muxer(tmp_path / "missing" / "a.mp4", programme.program)


def test_a_program_without_streams_and_packets_of_others_are_our_own_bugs(
    tmp_path: Path, programme: Programme
) -> None:
    with pytest.raises(InternalError):
        Mp4Muxer(tmp_path / "a.mp4", Program(None, None))
    muxer = Mp4Muxer(tmp_path / "b.mp4", Program(programme.program.video, None))
    audio = next(packet for packet in programme.packets if packet.kind is StreamKind.AUDIO)
    with pytest.raises(InternalError):
        muxer.write(audio)
    muxer.close()


def test_packets_out_of_order_are_our_own_bug_and_cost_no_fragment(
    tmp_path: Path, programme: Programme
) -> None:
    path = tmp_path / "a.mp4"
    muxer = Mp4Muxer(path, programme.program)
    half = len(programme.packets) // 2
    for packet in programme.packets[:half]:
        muxer.write(packet)
    with pytest.raises(InternalError):
        for packet in reversed(programme.packets[: half - 1]):
            muxer.write(packet)
    with pytest.raises(DestinationError):
        muxer.close()
    assert strict_complaints(path) == ""
    assert strictly_decoded(path)[0] >= 30


def test_a_closed_muxer_takes_nothing_more(tmp_path: Path, programme: Programme) -> None:
    muxer = Mp4Muxer(tmp_path / "a.mp4", programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    muxer.close()
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(DestinationError):
        muxer.write(programme.packets[0])
    with pytest.raises(DestinationError):
        muxer.close()
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8, 0.97, 0.995])
def test_a_full_disk_is_reported_and_leaves_whole_fragments(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    write(tmp_path / "whole.mp4", programme)
    room = int((tmp_path / "whole.mp4").stat().st_size * share)
    pwrite = os.pwrite

    def limited(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data[: room - offset], offset)

    monkeypatch.setattr(fragment_file.os, "pwrite", limited)
    path = tmp_path / "a.mp4"
    muxer = Mp4Muxer(path, programme.program)
    written: list[EncodedPacket] = []
    with pytest.raises(DestinationError, match="No space left"):
        for packet in programme.packets:
            muxer.write(packet)
            written.append(packet)
        muxer.close()
    for _ in range(2):
        with pytest.raises(DestinationError, match="No space left"):
            muxer.close()
    with pytest.raises(DestinationError):
        muxer.write(programme.packets[-1])
    del muxer
    assert path.stat().st_size <= room
    assert strict_complaints(path) == ""
    frames, audio_end = strictly_decoded(path)
    assert frames * FRAME_S > given(written, StreamKind.VIDEO) - MOST_LOST_S
    assert audio_end > given(written, StreamKind.AUDIO) - MOST_LOST_S


def test_the_limit_of_a_real_file_system_is_reported_too(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from tests.media.recordings import flash_and_click
from worker.errors import DestinationError
from worker.media.mux import Mp4Muxer

programme = flash_and_click(4.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
muxer = Mp4Muxer(Path(sys.argv[1]), programme.program)
try:
    for packet in programme.packets:
        muxer.write(packet)
except DestinationError as exc:
    print("write:", exc)
try:
    muxer.close()
except DestinationError as exc:
    print("close:", exc)
"""
    path = tmp_path / "a.mp4"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["write", "close"]
    assert 30_000 < path.stat().st_size <= 60_000
    assert strict_complaints(path) == ""


def test_times_are_exact_for_every_frame(tmp_path: Path) -> None:
    for fps in (15, 30):
        template = type(TEMPLATE)(TEMPLATE.size, fps, 200)
        path = tmp_path / f"{fps}.mp4"
        write(path, flash_and_click(2.0, template=template))
        with av.open(str(path)) as container:
            times = [
                frame.pts * frame.time_base
                for frame in container.decode(video=0)
                if frame.time_base
            ]
        assert times == [Fraction(tick, fps) for tick in range(2 * fps)]
