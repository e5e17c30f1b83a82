import os
from pathlib import Path

import pytest

from tests.media.recordings import flash_and_click, strict_complaints
from worker.errors import DestinationError, InternalError
from worker.media import mux
from worker.media.fragment_file import FragmentFile
from worker.media.mux import Mp4Muxer
from worker.ports import EncodedPacket, StreamKind


def box(kind: bytes, payload: bytes) -> bytes:
    return (8 + len(payload)).to_bytes(4, "big") + kind + payload


def test_a_box_reaches_the_file_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    data = box(b"ftyp", b"abc")
    for position in range(len(data)):
        assert path.read_bytes() == b""
        file.write(data[position : position + 1])
    assert path.read_bytes() == data
    file.finish()


def test_a_fragment_reaches_the_file_with_its_data(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    head, data = box(b"moof", b"times"), box(b"mdat", b"media")
    file.write(box(b"moov", b""))
    file.write(head)
    assert path.read_bytes() == box(b"moov", b"")
    file.write(data + head[:3])
    assert path.read_bytes() == box(b"moov", b"") + head + data
    file.write(head[3:] + data)
    file.finish()
    assert path.read_bytes() == box(b"moov", b"") + 2 * (head + data)


def test_a_size_that_is_known_last_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    file.write(box(b"ftyp", b""))
    file.write(b"\0\0\0\0moov" + b"x" * 100)
    assert path.read_bytes() == box(b"ftyp", b"")
    file.seek(8)
    file.write((108).to_bytes(4, "big"))
    assert path.read_bytes() == box(b"ftyp", b"") + box(b"moov", b"x" * 100)
    assert file.seek(0, os.SEEK_END) == 116
    file.finish()


def test_boxes_with_long_sizes_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    long = b"\0\0\0\1mdat" + (19).to_bytes(8, "big") + b"abc"
    file.write(long[:12])
    assert path.read_bytes() == b""
    file.write(long[12:])
    assert path.read_bytes() == long
    file.finish()


def test_what_was_finished_may_be_patched_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    file.write(box(b"free", b"") + box(b"free", b"abcd"))
    file.seek(8)
    file.write(b"\0\0\0\x0cmdat")
    assert file.tell() == 16 and file.seek(-8, os.SEEK_CUR) == 8
    file.finish()
    assert path.read_bytes() == box(b"free", b"") + box(b"mdat", b"abcd")


def test_writing_across_the_end_or_leaving_half_a_box_is_our_own_bug(tmp_path: Path) -> None:
    file = FragmentFile(tmp_path / "a")
    file.write(box(b"ftyp", b"abcd"))
    for position in (8, 13):
        file.seek(position)
        with pytest.raises(InternalError):
            file.write(b"long enough")
    file.seek(0, os.SEEK_END)
    file.write(b"\0\0\0\x20moov")
    with pytest.raises(InternalError):
        file.finish()
    assert (tmp_path / "a").read_bytes() == box(b"ftyp", b"abcd")


def test_an_abandoned_file_keeps_what_is_whole_and_takes_nothing_more(tmp_path: Path) -> None:
    file = FragmentFile(tmp_path / "a")
    file.write(box(b"ftyp", b"") + box(b"moof", b""))
    assert file.writable() and file.seekable() and not file.closed
    file.abandon()
    file.abandon()
    assert file.closed and not file.writable() and not file.seekable()
    for use in (lambda: file.write(b"x"), file.finish):
        with pytest.raises(DestinationError):
            use()
    assert (tmp_path / "a").read_bytes() == box(b"ftyp", b"")


@pytest.mark.parametrize("buffer_bytes", [512, 4096])
def test_it_does_not_matter_in_which_pieces_ffmpeg_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    programme = flash_and_click(3.0)
    for name in ("whole.mp4", "pieces.mp4"):
        muxer = Mp4Muxer(tmp_path / name, programme.program)
        for packet in programme.packets:
            muxer.write(packet)
        muxer.close()
        monkeypatch.setattr(mux, "_BUFFER_BYTES", buffer_bytes)
    assert (tmp_path / "pieces.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert strict_complaints(tmp_path / "pieces.mp4") == ""


def test_an_index_that_does_not_fit_the_buffer_is_written_whole(tmp_path: Path) -> None:
    programme = flash_and_click(1 / 30)
    video = next(packet for packet in programme.packets if packet.kind is StreamKind.VIDEO)
    ticks = 20 * 60 * 30
    muxer = Mp4Muxer(tmp_path / "a.mp4", programme.program)
    sample = -1024
    for tick in range(ticks):
        # Sizes that differ, or the index would be a single number.
        data = video.data[: 40 + tick % 7]
        muxer.write(EncodedPacket(StreamKind.VIDEO, data, tick, tick, 1, tick % 60 == 0))
        while sample < (tick + 1) * 1600:
            data = b"x" * (1 + sample // 1024 % 3)
            muxer.write(EncodedPacket(StreamKind.AUDIO, data, sample, sample, 1024, True))
            sample += 1024
    muxer.close()
    data = (tmp_path / "a.mp4").read_bytes()
    end_of_data = 44 + int.from_bytes(data[44:48], "big")
    assert data[48:52] == b"mdat" and data[end_of_data + 4 : end_of_data + 8] == b"moov"
    index_bytes = int.from_bytes(data[end_of_data : end_of_data + 4], "big")
    assert end_of_data + index_bytes == len(data) and index_bytes > mux._BUFFER_BYTES
