"""MPEG-TS segments: what is in each, and how they follow each other."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.media.recordings import TEMPLATE, decoded_luma, flash_and_click, strict_complaints
from tests.support import container, ts_reading
from worker.errors import DestinationError
from worker.media.ts_file import PACKET_BYTES, ContinuityCounters
from worker.media.ts_segments import START_S, TsSegments
from worker.ports import EncodedPacket, StreamKind


def instant_s(packet: EncodedPacket) -> float:
    return packet.pts / (TEMPLATE.fps if packet.kind is StreamKind.VIDEO else 48_000)


def write_segments(directory: Path, seconds: float, slice_s: int) -> list[Path]:
    made = flash_and_click(seconds)
    muxer = TsSegments(made.program)
    paths: list[Path] = []
    for packet in sorted(made.packets, key=instant_s):
        is_cut = packet.kind is StreamKind.VIDEO and packet.pts % (slice_s * TEMPLATE.fps) == 0
        if not paths or (is_cut and packet.pts > 0):
            paths.append(directory / f"{len(paths)}.ts")
            muxer.begin(paths[-1])
        muxer.write(packet)
    muxer.close()
    return paths


def test_every_segment_decodes_alone_and_all_of_them_as_one(tmp_path):
    paths = write_segments(tmp_path, 7, 2)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert all(strict_complaints(path) == "" for path in (*paths, joined))
    assert len(decoded_luma(joined, TEMPLATE.size)) == 7 * TEMPLATE.fps
    assert ts_reading.discontinuities(paths) == []
    facts = container.probe(joined)
    assert facts.video is not None
    assert facts.video.start_s == START_S
    assert np.diff(facts.video.times_s) == pytest.approx(1 / TEMPLATE.fps, abs=2e-5)


def test_counters_follow_each_other_over_calls_and_stand_still_without_a_payload():
    def packet(pid: int, *, payload: bool = True) -> bytes:
        head = bytes((0x47, pid >> 8, pid & 0xFF, 0x10 if payload else 0x20))
        return head + bytes(PACKET_BYTES - 4)

    counters = ContinuityCounters()
    first = counters.renumber(packet(256) * 15 + packet(257))
    second = counters.renumber(packet(256) + packet(256, payload=False) + packet(256) * 2)
    numbers = [
        data[start + 3] & 0x0F
        for data in (first, second)
        for start in range(0, len(data), PACKET_BYTES)
        if data[start + 2] == 0
    ]
    assert numbers == [*range(15), 15, 15, 0, 1]
    assert first[15 * PACKET_BYTES + 3] & 0x0F == 0


def test_a_segment_is_never_written_over(tmp_path):
    (tmp_path / "0.ts").write_bytes(b"precious")
    muxer = TsSegments(flash_and_click(0.1).program)
    with pytest.raises(DestinationError, match="File exists"):
        muxer.begin(tmp_path / "0.ts")
    assert (tmp_path / "0.ts").read_bytes() == b"precious"


def test_a_full_disk_leaves_whole_units_and_the_next_segment_can_be_written(tmp_path, monkeypatch):
    made = flash_and_click(3)
    packets = sorted(made.packets, key=instant_s)
    muxer = TsSegments(made.program)
    room = 20_000
    write = os.write

    def scarce(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", scarce)
    muxer.begin(tmp_path / "0.ts")
    with pytest.raises(DestinationError, match="No space left"):
        for packet in packets:
            muxer.write(packet)
    size = (tmp_path / "0.ts").stat().st_size
    assert size % PACKET_BYTES == 0
    assert 16_000 < size <= 20_000, "whole units, the last one that had room included"
    assert len(decoded_luma(tmp_path / "0.ts", TEMPLATE.size)) > 0
    with pytest.raises(DestinationError, match="no segment is open"):
        muxer.write(packets[0])
    monkeypatch.undo()
    muxer.begin(tmp_path / "1.ts")
    for packet in packets:
        muxer.write(packet)
    muxer.close()
    assert len(decoded_luma(tmp_path / "1.ts", TEMPLATE.size)) == 90


def test_sound_alone_makes_segments_too(tmp_path):
    made = flash_and_click(3, with_video=False)
    muxer = TsSegments(made.program)
    muxer.begin(tmp_path / "0.ts")
    for packet in made.packets:
        muxer.write(packet)
    muxer.close()
    facts = container.probe(tmp_path / "0.ts")
    assert facts.video is None
    assert facts.audio is not None
    assert facts.audio.codec == "aac"
    assert facts.audio.packets == len(made.packets)
