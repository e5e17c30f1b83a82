import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media.recordings import flash_and_click, strict_complaints
from worker.errors import DestinationError, InternalError
from worker.media import mux
from worker.media.fragment_file import FragmentFile, Unit
from worker.media.mux import Mp4Muxer


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


def test_the_last_box_is_whole_or_not_there_and_then_the_first_may_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = FragmentFile(path)
    file.write(box(b"free", b"") + box(b"free", b"abcd"))
    seen: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"\0\0\0\x12moov", b"first", b"", b"last!"):
            seen.append(path.read_bytes()[20:28])
            yield piece

    file.append(pieces())
    assert not any(b"".join(seen))
    assert path.read_bytes()[20:] == box(b"moov", b"firstlast!")
    file.patch(8, b"\0\0\0\x0cmdat")
    file.finish()
    assert path.read_bytes() == (
        box(b"free", b"") + box(b"mdat", b"abcd") + box(b"moov", b"firstlast!")
    )


def test_heads_and_fragments_are_told_once_each_where_they_lie(tmp_path: Path) -> None:
    file = FragmentFile(tmp_path / "a")
    head, moof, data = box(b"moov", b"tracks"), box(b"moof", b"times"), box(b"mdat", b"media")
    file.write(box(b"ftyp", b"") + head + moof)
    assert file.new_units() == [Unit(head, 8, 22)]
    file.write(data)
    [unit] = file.new_units()
    assert (unit.head, unit.start, unit.is_fragment, unit.media) == (moof, 22, True, range(35, 48))
    assert file.new_units() == []
    file.finish()


def test_what_another_has_left_is_cut_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(box(b"ftyp", b"abcd") + b"torn")
    file = FragmentFile.continuing(path, 12)
    file.append(iter([box(b"moov", b"")]))
    file.finish()
    assert path.read_bytes() == box(b"ftyp", b"abcd") + box(b"moov", b"")
    with pytest.raises(DestinationError, match="cannot be opened"):
        FragmentFile.continuing(tmp_path / "missing", 0)


def test_writing_elsewhere_or_leaving_half_a_box_is_our_own_bug(tmp_path: Path) -> None:
    file = FragmentFile(tmp_path / "a")
    file.write(box(b"ftyp", b"abcd"))
    for position in (0, 8, 13):
        file.seek(position)
        with pytest.raises(InternalError):
            file.write(b"long enough")
    with pytest.raises(InternalError):
        file.patch(8, b"longer")
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
