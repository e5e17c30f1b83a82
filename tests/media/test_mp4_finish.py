"""Finishing: what a recording becomes when it is closed, and what is made of one that was not."""

import io
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest

from tests.media.mp4_reading import TrackSamples, read_samples, read_tree
from tests.media.recordings import Programme, flash_and_click, probe, strict_complaints
from worker.errors import DestinationError, MediaError
from worker.media import mux
from worker.media.fragment_file import Unit
from worker.media.mp4_boxes import box, header
from worker.media.mp4_finish import Finished, finish
from worker.media.mp4_index import FragmentIndex
from worker.media.mux import Mp4Muxer
from worker.ports import EncodedPacket, StreamKind

CUTS = 200
GIB = 1 << 30


@pytest.fixture(scope="module")
def programme() -> Programme:
    return flash_and_click(4.0)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory, programme: Programme) -> Path:
    """All fragments of the programme, and no index: killed after the last one."""
    path = tmp_path_factory.mktemp("killed") / "unfinished.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mux, "write_index", lambda file, _: file.finish())
        record(path, programme.packets, programme)
    return path


def record(path: Path, packets: list[EncodedPacket], programme: Programme) -> None:
    muxer = Mp4Muxer(path, programme.program)
    for packet in packets:
        muxer.write(packet)
    muxer.close()


def times_of(path: Path) -> dict[str, list[tuple[int, int, int, bool, bytes]]]:
    """Every packet as FFmpeg's demuxer gives it, by kind of stream."""
    found: dict[str, list[tuple[int, int, int, bool, bytes]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None:
                assert packet.dts is not None
                found.setdefault(packet.stream.type, []).append(
                    (packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet))
                )
    return found


def samples_in(path: Path) -> dict[str, TrackSamples]:
    return read_samples(read_tree(path).get("moov"))


# --- the finished file is the fragmented one -------------------------------------------------


def test_packets_and_times_are_those_of_the_fragments(
    tmp_path: Path, programme: Programme, unfinished: Path
) -> None:
    record(tmp_path / "a.mp4", programme.packets, programme)
    before, after = times_of(unfinished), times_of(tmp_path / "a.mp4")
    assert len(after["video"]) == 120
    for kind, packets in before.items():
        # The length of the last packet is not in question, but FFmpeg guesses it in fragments.
        assert [(*p[:2], *p[3:]) for p in after[kind]] == [(*p[:2], *p[3:]) for p in packets]
    given = {kind: [p for p in programme.packets if p.kind is kind] for kind in (StreamKind.AUDIO,)}
    assert [data for *_, data in after["audio"]] == [p.data for p in given[StreamKind.AUDIO]]
    assert [pts for pts, *_ in after["audio"]] == [p.pts for p in given[StreamKind.AUDIO]]


def test_the_boxes_are_as_the_standard_wants_them(tmp_path: Path, programme: Programme) -> None:
    path = tmp_path / "a.mp4"
    record(path, programme.packets, programme)
    tree = read_tree(path)
    assert [node.kind for node in tree.children] == ["ftyp", "mdat", "moov"]
    moov = tree.get("moov")
    assert not moov.find("mvex")
    tracks = read_samples(moov)
    video, audio = tracks["vide"], tracks["soun"]
    step = video.timescale // 30
    assert video.times == [tick * step for tick in range(120)]
    assert video.sync == {1, 61}
    assert audio.sync is None
    assert (video.media_duration, video.shown_duration, video.edits) == (
        120 * step,
        4000,
        [(4000, 0)],
    )
    # 4 s and the priming before them; the last packet is a short one.
    assert (audio.media_duration, audio.shown_duration) == (192_000 + 1024, 4000)
    assert audio.edits == [(4000, 1024)]
    content = path.read_bytes()
    given = [p.data for p in programme.packets if p.kind is StreamKind.AUDIO]
    found = [content[at : at + size] for at, size in zip(audio.offsets, audio.sizes, strict=True)]
    assert found == given
    mdat = tree.get("mdat")
    assert all(mdat.start < at < mdat.start + mdat.size for at in video.offsets)


def test_a_closed_file_and_a_recovered_one_are_the_same_bytes(
    tmp_path: Path, programme: Programme, unfinished: Path
) -> None:
    record(tmp_path / "closed.mp4", programme.packets, programme)
    shutil.copy(unfinished, tmp_path / "recovered.mp4")
    found = finish(tmp_path / "recovered.mp4")
    assert not found.was_ordinary and found.cut_bytes == 0 and found.fragments >= 19
    assert (tmp_path / "recovered.mp4").read_bytes() == (tmp_path / "closed.mp4").read_bytes()


def test_only_the_first_bytes_of_what_was_written_change(tmp_path: Path, unfinished: Path) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(unfinished, path)
    finish(path)
    before, after = unfinished.read_bytes(), path.read_bytes()
    changed = [at for at, byte in enumerate(before) if after[at] != byte]
    assert changed and max(changed) < 100


@pytest.mark.parametrize("kind", list(StreamKind))
def test_a_single_stream_is_finished_alike(tmp_path: Path, kind: StreamKind) -> None:
    programme = flash_and_click(
        1.0, with_video=kind is StreamKind.VIDEO, with_audio=kind is StreamKind.AUDIO
    )
    record(tmp_path / "a.mp4", programme.packets, programme)
    assert list(samples_in(tmp_path / "a.mp4")) == [
        {StreamKind.VIDEO: "vide", StreamKind.AUDIO: "soun"}[kind]
    ]


def test_frames_out_of_order_and_gaps_keep_their_times(tmp_path: Path) -> None:
    """As an encoder with B-frames would give them, in pairs; and a second without any packet."""
    programme = flash_and_click(3.0, with_audio=False)
    packets = []
    for index, packet in enumerate(programme.packets):
        late = 30 if index >= 45 else 0
        packets.append(
            replace(packet, dts=packet.dts - 1 + late, pts=packet.pts + 1 - 2 * (index % 2) + late)
        )
    packets[0] = replace(packets[0], pts=0)
    path = tmp_path / "a.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mux, "write_index", lambda file, _: file.finish())
        record(path, packets, programme)
    before = times_of(path)
    finish(path)
    assert [(pts, dts) for pts, dts, *_ in times_of(path)["video"]] == [
        (pts, dts) for pts, dts, *_ in before["video"]
    ]
    assert read_tree(path).get("moov/trak/mdia/minf/stbl/ctts").payload
    times = samples_in(path)["vide"].times
    assert times != sorted(times)


# --- what a kill has left --------------------------------------------------------------------


def test_of_a_file_cut_anywhere_all_whole_fragments_are_there(
    tmp_path: Path, unfinished: Path
) -> None:
    content = unfinished.read_bytes()
    whole = times_of(unfinished)
    ends, frames, sounds = _fragments(unfinished)
    source = random.Random(5)
    head_end = read_tree(unfinished).get("moov")
    first = head_end.start + head_end.size
    cuts = [first, ends[0] - 1, ends[0], len(content)]
    cuts += [source.randrange(first, len(content)) for _ in range(CUTS - len(cuts))]
    for number, cut in enumerate(cuts):
        path = tmp_path / "a.mp4"
        path.write_bytes(content[:cut])
        found = finish(path)
        kept = sum(end <= cut for end in ends)
        assert (found.fragments, found.cut_bytes) == (
            kept,
            cut - (ends[kept - 1] if kept else first),
        )
        tracks = samples_in(path)
        assert len(tracks["vide"].times) == sum(frames[:kept]), cut
        assert len(tracks["soun"].times) == sum(sounds[:kept]), cut
        found_packets = times_of(path)
        for kind, count in (("video", sum(frames[:kept])), ("audio", sum(sounds[:kept]))):
            packets = found_packets.get(kind, [])
            assert [p[0] for p in packets] == [p[0] for p in whole[kind][:count]]
            assert [p[4] for p in packets] == [p[4] for p in whole[kind][:count]]
        if number % 40 == 0 and kept:
            assert strict_complaints(path) == ""


def _fragments(path: Path) -> tuple[list[int], list[int], list[int]]:
    """Where each fragment ends, and how many packets of video and sound are in it."""
    tree = read_tree(path)
    ends, frames, sounds = [], [], []
    for moof, mdat in zip(tree.find("moof"), tree.find("mdat"), strict=True):
        ends.append(mdat.start + mdat.size)
        counts = {1: 0, 2: 0}
        for traf in moof.find("traf"):
            track = int.from_bytes(traf.get("tfhd").payload[4:8], "big")
            counts[track] += int.from_bytes(traf.get("trun").payload[4:8], "big")
        frames.append(counts[1])
        sounds.append(counts[2])
    return ends, frames, sounds


def test_zeros_and_rubbish_behind_the_last_fragment_are_cut(
    tmp_path: Path, unfinished: Path
) -> None:
    content = unfinished.read_bytes()
    ends, _, _ = _fragments(unfinished)
    torn = bytearray(content[: ends[5] + 300])
    torn[ends[4] : ends[4] + 8] = bytes(8)
    source = random.Random(1)
    for number, tail in enumerate((bytes(5000), source.randbytes(5000), bytes(torn[ends[4] :]))):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content[: ends[4]] + tail)
        found = finish(path)
        assert (found.fragments, found.cut_bytes) == (5, len(tail))
        assert strict_complaints(path) == ""


def test_a_damaged_fragment_ends_the_recording_before_it(tmp_path: Path, unfinished: Path) -> None:
    content = unfinished.read_bytes()
    ends, frames, _ = _fragments(unfinished)
    source = random.Random(2)
    moof_bytes = read_tree(unfinished).find("moof")[5].size
    for _ in range(100):
        damaged = bytearray(content)
        at = ends[4] + source.randrange(moof_bytes)
        damaged[at : at + 4] = source.randbytes(4)
        path = tmp_path / "a.mp4"
        path.write_bytes(damaged)
        found = finish(path)
        assert found.fragments >= 5
        # Every box holds together whatever was read as a time or a size.
        assert len(samples_in(path)["vide"].times) >= sum(frames[:5])


def test_a_damaged_head_is_refused_untouched_or_does_no_harm(
    tmp_path: Path, unfinished: Path
) -> None:
    content = unfinished.read_bytes()
    moov = read_tree(unfinished).get("moov")
    source = random.Random(4)
    path = tmp_path / "a.mp4"
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(source.choice((1, 1, 4))):
            at = moov.start + source.randrange(moov.size)
            damaged[at] = source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))
        path.write_bytes(damaged)
        try:
            finish(path)
        except MediaError:
            refused += 1
            assert path.read_bytes() == damaged
        else:
            assert path.read_bytes()[len(content) // 2 : len(content) - 999] == (
                content[len(content) // 2 : len(content) - 999]
            ) or path.stat().st_size < len(content)
    assert 10 < refused < 190


def test_finishing_twice_changes_nothing_the_second_time(tmp_path: Path, unfinished: Path) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(unfinished, path)
    finish(path)
    once = path.read_bytes()
    stamp = path.stat().st_mtime_ns
    assert finish(path) == Finished(was_ordinary=True)
    assert path.read_bytes() == once and path.stat().st_mtime_ns == stamp


def test_a_file_of_another_program_with_its_index_first_is_left_alone(
    tmp_path: Path, programme: Programme
) -> None:
    record(tmp_path / "a.mp4", programme.packets, programme)
    other = tmp_path / "other.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
    subprocess.run([*command, "-movflags", "faststart", str(other)], check=True, timeout=60)
    content = other.read_bytes()
    assert finish(other).was_ordinary
    assert other.read_bytes() == content


def test_a_finish_that_was_interrupted_anywhere_is_made_good_by_the_next(
    tmp_path: Path, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(unfinished, path)
    finish(path)
    whole = path.read_bytes()
    content = unfinished.read_bytes()
    pwrite, left = os.pwrite, 0

    class Killed(BaseException):
        """Nothing catches this, so nothing tidies up."""

    def limited(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal left
        if left == 0:
            # The header of a box, at most 16 bytes in one page, is written or it is not.
            if len(data) > 16:
                pwrite(descriptor, data[: len(data) // 2], offset)
            os.close(descriptor)
            raise Killed
        left -= 1
        return pwrite(descriptor, data, offset)

    for writes in range(200):
        path.write_bytes(content + b"torn")
        left = writes
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", limited)
            try:
                finish(path)
            except Killed:
                assert len(times_of(path)["video"]) == 120
            else:
                break
        finish(path)
        assert path.read_bytes() == whole
    assert writes > 20


@pytest.mark.parametrize("content", [b"", b"\0" * 999, box(b"ftyp", b"isom"), b"not a file at all"])
def test_what_has_no_head_is_refused_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="no head"):
        finish(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_a_destination_error(tmp_path: Path) -> None:
    with pytest.raises(DestinationError):
        finish(tmp_path / "missing.mp4")


# --- large files -----------------------------------------------------------------------------


def test_a_file_above_four_gibibytes_plays_to_its_end(tmp_path: Path, unfinished: Path) -> None:
    """A hole of 5 GiB in the middle, as a box of its own; offsets behind it are moved."""
    content = unfinished.read_bytes()
    ends, _, _ = _fragments(unfinished)
    hole = 5 * GIB
    path = tmp_path / "large.mp4"
    rest = bytearray(content[ends[9] :])
    for moof in read_tree(unfinished).find("moof")[10:]:
        for traf in moof.find("traf"):
            at = traf.get("tfhd").start + 16 - ends[9]
            base = int.from_bytes(rest[at : at + 8], "big")
            assert base == moof.start
            rest[at : at + 8] = (base + hole).to_bytes(8, "big")
    with path.open("wb") as file:
        file.write(content[: ends[9]] + header(b"free", hole))
        file.seek(ends[9] + hole)
        file.write(rest)
    found = finish(path)
    assert found.cut_bytes == 0
    tree = read_tree(path)
    assert [node.kind for node in tree.children] == ["ftyp", "mdat", "moov"]
    assert tree.get("mdat").size > hole
    for track in tree.find("moov/trak"):
        assert track.find("mdia/minf/stbl/co64") and not track.find("mdia/minf/stbl/stco")
    assert finish(path).was_ordinary
    assert strict_complaints(path) == ""
    assert int(probe(path)["video"]["nb_frames"]) == 120
    before, after = times_of(unfinished), times_of(path)
    for kind, packets in before.items():
        assert [(p[0], p[4]) for p in after[kind]] == [(p[0], p[4]) for p in packets]


def test_times_that_need_more_than_32_bits_are_written_wide(unfinished: Path) -> None:
    """Two days at 48 kHz, as one packet whose duration is given by the next ones."""
    content = unfinished.read_bytes()
    tree = read_tree(unfinished)
    moov = tree.get("moov")
    index = FragmentIndex(io.BytesIO())
    index.add(Unit(content[moov.start : moov.start + moov.size], moov.start, 0))
    start = 1 << 20
    days_s = 60 * 86_400
    for number, time_s in enumerate(range(0, days_s, 40_000)):
        moof = box(
            b"moof",
            *(
                box(
                    b"traf",
                    box(b"tfhd", (0).to_bytes(4, "big") + track.to_bytes(4, "big")),
                    box(b"tfdt", b"\1\0\0\0" + (time_s * timescale).to_bytes(8, "big")),
                    box(
                        b"trun",
                        (0x301).to_bytes(4, "big") + (1).to_bytes(4, "big"),
                        (200).to_bytes(4, "big") + (512).to_bytes(4, "big") + b"\0\0\0\x10",
                    ),
                )
                for track, timescale in ((1, 15_360), (2, 48_000))
            ),
        )
        index.add(Unit(moof, start + number * 1000, start + number * 1000 + 999))
    written = io.BytesIO(b"".join(index.moov().pieces()))
    index.close()
    file = Path(unfinished.parent / "wide.mp4")
    file.write_bytes(written.getvalue())
    tracks = samples_in(file)
    assert tracks["soun"].media_duration > 1 << 32
    last_s = (days_s - 1) // 40_000 * 40_000
    assert tracks["soun"].media_duration == last_s * 48_000 + 512
    assert tracks["vide"].shown_duration == -(-(last_s * 15_360 + 512) * 1000 // 15_360)
    assert tracks["vide"].shown_duration > 1 << 32
    assert tracks["vide"].edits == [(tracks["vide"].shown_duration, 0)]


# --- memory and time -------------------------------------------------------------------------

_HOURS = """
import sys, time
from pathlib import Path
from tests.media.recordings import flash_and_click
from worker.media.mux import Mp4Muxer
from worker.ports import EncodedPacket, StreamKind

def memory_kb(which):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1])

programme = flash_and_click(1 / 30)
video = next(p for p in programme.packets if p.kind is StreamKind.VIDEO).data
minutes, path = int(sys.argv[1]), Path(sys.argv[2])
muxer = Mp4Muxer(path, programme.program)
sample, early = -1024, 0
for tick in range(minutes * 60 * 30):
    if tick == 5 * 60 * 30:
        early = memory_kb("VmRSS")
    data = video[: 40 + tick % 37]
    muxer.write(EncodedPacket(StreamKind.VIDEO, data, tick, tick, 1, tick % 60 == 0))
    while sample < (tick + 1) * 1600:
        data = b"x" * (1 + sample // 1024 % 3)
        muxer.write(EncodedPacket(StreamKind.AUDIO, data, sample, sample, 1024, True))
        sample += 1024
late = memory_kb("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
started = time.perf_counter()
muxer.close()
closed_s = time.perf_counter() - started
print(late - early, memory_kb("VmHWM") - late, closed_s)
"""


def hours(path: Path, minutes: int) -> tuple[float, float, float]:
    """Record synthetic packets: kB grown from minute 5 to the end, kB grown by closing, s of it."""
    done = subprocess.run(
        [sys.executable, "-c", _HOURS, str(minutes), str(path)],
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    grown, closing, closed_s = map(float, done.stdout.split())
    print(f"{minutes} min: grown {grown:.0f} kB, by closing {closing:.0f} kB; {closed_s:.3f} s")
    return grown, closing, closed_s


def test_memory_does_not_grow_with_the_recording_nor_when_it_is_closed(tmp_path: Path) -> None:
    grown_kb, closing_kb, closed_s = hours(tmp_path / "a.mp4", 35)
    # Half an hour of the muxer that kept its index was 10 MB.
    assert grown_kb < 300
    assert closing_kb < 1000
    assert closed_s < 0.3
    tracks = samples_in(tmp_path / "a.mp4")
    assert len(tracks["vide"].times) == 35 * 60 * 30
    assert (tmp_path / "a.mp4").stat().st_size - tracks["soun"].offsets[-1] > 256 << 10


@pytest.mark.soak
def test_three_hours_are_closed_within_three_seconds(tmp_path: Path) -> None:
    grown_kb, closing_kb, closed_s = hours(tmp_path / "a.mp4", 180)
    assert grown_kb < 500
    assert closing_kb < 1000
    assert closed_s < 3
