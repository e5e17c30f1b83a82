"""Files by a record rule, in virtual time: what is in them, where they are cut, who is told."""

import errno
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import container, hearing, oracle, ts_reading
from tests.support.look import Recording
from tests.support.recorded import UNIX_OFFSET_S, Recorded, record_by_rule
from tests.support.rehearse import people
from tests.support.seeing import Watch, counter_steps
from worker.core.layout.geometry import Size
from worker.core.record.rule import RecordRule
from worker.errors import DestinationError, DestinationRefused
from worker.ports import FileCompleted, FileStarted
from worker.sinks.open_file import sync
from worker.testroom.person import tone_hz

RATE_HZ = 48_000
FPS = 15
NOISE = 1e-3
"""AAC decoders make some noise up; sound that is shifted, even by one sample, differs by more."""
BEEPS = """[defaults.microphone]
mode = "beep"
level_db = -12
[defaults.camera]
width = 480
height = 360
fps = 15
bitrate_kbps = 300
"""


def cycles(*, mp4_s: int | None = None, hls_s: int | None = None):
    """Shorter than a document may ask for, so that the tests are."""

    def change(rule: RecordRule) -> RecordRule:
        mp4 = rule.mp4 and replace(rule.mp4, cycle_s=rule.mp4.cycle_s if mp4_s is None else mp4_s)
        hls = rule.hls and replace(rule.hls, cycle_s=rule.hls.cycle_s if hls_s is None else hls_s)
        return replace(rule, mp4=mp4, hls=hls)

    return change


def counters(recording: Recording) -> list[int | None]:
    """What number each frame of the one person's camera has."""
    (rect,) = oracle.gallery(1, recording.video.width, recording.video.height)
    return recording.watch({0: Watch(rect, Size(480, 360))})[0].counters


def assert_same_sound(pieces: list[np.ndarray], whole: np.ndarray, starts: list[int]) -> None:
    """Every piece is what *whole* has from its start on, to the sample."""
    for piece, start in zip(pieces, starts, strict=True):
        same = whole[start : start + len(piece)]
        assert float(np.abs(same).max()) > 0.05, "nothing to compare"
        assert float(np.abs(piece[: len(same)] - same).max()) < NOISE


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """MP4 every 7 s and HLS every 11 s in segments of 3 s, from one encode of 25 s."""
    return record_by_rule(
        tmp_path_factory.mktemp("cut"),
        people(1, defaults=BEEPS),
        formats=("MP4", "HLS"),
        seconds=25,
        hls={"record_slice_duration": 3},
        change_rule=cycles(mp4_s=7, hls_s=11),
    )


# --- MP4 ------------------------------------------------------------------------------------


def test_files_are_as_long_as_the_cycle_and_begin_with_a_keyframe(cut: Recorded) -> None:
    files = cut.recordings()
    assert [each.video.packets for each in files] == [105, 105, 105, 60]
    for each in files:
        assert each.video.start_s == each.audio.start_s == 0
        assert each.video.keyframes_s[0] == 0
        assert each.audio.duration_s == pytest.approx(each.video.duration_s, abs=1e-4)
        assert each.decode_errors() == ""


def test_no_frame_is_lost_or_doubled_between_files(cut: Recorded) -> None:
    whole = counters(cut.whole)
    pieces = [number for each in cut.recordings() for number in counters(each)]
    assert len(whole) == 25 * FPS
    assert sum(number is not None for number in whole) > 24 * FPS
    assert pieces == whole
    assert set(counter_steps(pieces, 10**6).tolist()) <= {0, 1, 2} | set(
        counter_steps(whole, 10**6).tolist()
    )


def test_sound_is_cut_at_the_sample_and_right_from_the_first_one_on(cut: Recorded) -> None:
    whole = hearing.mono(cut.whole.sound())
    sounds = [
        hearing.mono(each.sound())[: round(each.video.duration_s * RATE_HZ)]
        for each in cut.recordings()
    ]
    assert [len(each) for each in sounds] == [7 * RATE_HZ] * 3 + [4 * RATE_HZ]
    assert_same_sound(sounds, whole, [0, 7 * RATE_HZ, 14 * RATE_HZ, 21 * RATE_HZ])
    # Put together there is no click where they were cut.
    together = np.concatenate(sounds)
    assert set(hearing.clicks(together)) <= set(hearing.clicks(whole[: len(together)]))


def test_sound_and_picture_fit_in_every_file(cut: Recorded) -> None:
    for each in cut.recordings():
        (rect,) = oracle.gallery(1, each.video.width, each.video.height)
        history = each.watch({0: Watch(rect, Size(480, 360))})[0]
        offsets = each.av_offsets_s(history, tone_hz(0))
        assert len(offsets) >= 3
        assert float(np.abs(offsets).max()) <= 0.1


def test_all_files_are_announced_in_order_with_what_they_are(cut: Recorded) -> None:
    started, completed = cut.started(), cut.completed()
    assert [event.file.start_s for event in started] == [0, 7, 14, 21]
    assert [event.duration_s for event in completed] == [7, 7, 7, 4]
    for event in completed:
        assert event.location == "file:///store"
        assert event.size == (cut.store / event.file.key).stat().st_size
        assert (event.file.width, event.file.height) == (480, 360)
        before = cut.events.published.index(event)
        assert FileStarted(event.file) in cut.events.published[:before]
    assert started[1].file.start_unix_s == pytest.approx(started[0].file.start_unix_s + 7, abs=1e-6)
    assert abs(started[0].file.start_unix_s - UNIX_OFFSET_S) < 1
    assert re.fullmatch(
        r"records/app/mp4/stream_2021-04-28-08-57-14/stream_2021-04-28-08-57-14\.mp4",
        started[1].file.key,
    )


def test_the_result_lists_every_file(cut: Recorded) -> None:
    output = cut.output("record-mp4")
    assert output["error"] is None
    assert [each["start_s"] for each in output["files"]] == [0, 7, 14, 21]
    for each, event in zip(output["files"], cut.completed(), strict=True):
        assert each == {
            "key": event.file.key,
            "start_s": event.file.start_s,
            "duration_s": event.duration_s,
            "size": event.size,
            "state": "stored",
            "error": None,
        }


def test_files_went_up_while_they_grew(cut: Recorded) -> None:
    parcel = cut.courier.parcels[cut.completed()[0].file.key]
    assert len(parcel.sizes) > 20
    assert not list(cut.spool.iterdir())


# --- HLS ------------------------------------------------------------------------------------


def decoded_sound(path: Path) -> np.ndarray:
    """All sound of *path* as it is decoded, from the first packet on: (samples, 2)."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0"]
    command += ["-f", "f32le", "-ar", str(RATE_HZ), "-"]
    content = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(content, dtype="<f4").reshape(-1, 2)


def segments(recorded: Recorded, playlist: Path) -> list[Path]:
    lines = playlist.read_text().splitlines()
    return [playlist.parent / line for line in lines if line and not line.startswith("#")]


def test_segments_are_cut_on_the_second_and_listed_with_their_true_length(cut: Recorded) -> None:
    first, second, third = (cut.store / event.file.key for event in cut.completed("HLS"))
    lengths = re.findall(r"#EXTINF:([\d.]+),", first.read_text())
    assert [float(each) for each in lengths] == [3, 3, 3, 2]
    assert re.findall(r"#EXTINF:([\d.]+),", third.read_text()) == ["3.000000"]
    dates = re.findall(r"DATE-TIME:(.*)", second.read_text())
    assert [each[11:19] for each in dates] == ["08:57:18", "08:57:21", "08:57:24", "08:57:27"]
    for playlist in (first, second, third):
        text = playlist.read_text()
        assert "#EXT-X-TARGETDURATION:3\n" in text
        assert "#EXT-X-PLAYLIST-TYPE:VOD\n" in text
        assert text.endswith("#EXT-X-ENDLIST\n")
        for length, segment in zip(
            re.findall(r"#EXTINF:([\d.]+),", text), segments(cut, playlist), strict=True
        ):
            facts = container.probe(segment)
            assert facts.video is not None
            assert facts.video.packets == round(float(length) * FPS)
            assert container.decode_errors(segment) == ""


def test_a_segment_begins_with_its_tables_and_a_keyframe(cut: Recorded) -> None:
    for event in cut.completed("HLS"):
        for segment in segments(cut, cut.store / event.file.key):
            first = list(ts_reading.packets(segment))[:12]
            assert {0, 0x1000} <= {packet.pid for packet in first[:3]}
            pictures = [p for p in ts_reading.packets(segment) if p.pid == 0x100 and p.begins_unit]
            assert pictures[0].is_random_access


def test_counters_and_times_run_on_over_the_segments(cut: Recorded) -> None:
    for event in cut.completed("HLS"):
        parts = segments(cut, cut.store / event.file.key)
        assert ts_reading.discontinuities(parts) == []
        joined = cut.spool.parent / "joined.ts"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        facts = container.probe(joined)
        assert facts.video is not None
        assert facts.audio is not None
        assert container.decode_errors(joined) == ""
        steps = np.diff(facts.video.times_s)
        assert steps.min() == pytest.approx(1 / FPS, abs=2e-5)
        assert steps.max() == pytest.approx(1 / FPS, abs=2e-5)
        sound_steps = np.diff(facts.audio.times_s)
        assert sound_steps.max() == pytest.approx(1024 / RATE_HZ, abs=2e-5)
        assert sound_steps.min() == pytest.approx(1024 / RATE_HZ, abs=2e-5)


def test_the_playlists_play_every_frame_and_sample_of_the_recording(cut: Recorded) -> None:
    recordings = cut.recordings("HLS")
    assert [number for each in recordings for number in counters(each)] == counters(cut.whole)
    whole = hearing.mono(cut.whole.sound())
    for start_s, each in zip([0, 11, 22], recordings, strict=True):
        assert each.decode_errors() == ""
        # The sound of the packets before the file's zero is not meant to be heard.
        zero = round((each.video.start_s - each.audio.start_s) * RATE_HZ)
        decoded = hearing.mono(decoded_sound(each.path))[max(zero, 1024) :]
        skipped = max(zero, 1024) - zero
        length = round(each.video.duration_s * RATE_HZ) - skipped
        assert len(decoded) >= length
        assert_same_sound([decoded[:length]], whole, [start_s * RATE_HZ + skipped])


def test_segments_are_stored_before_they_are_listed(cut: Recorded) -> None:
    seen: set[str] = set()
    for what, key in cut.courier.log:
        if what == "seal":
            seen.add(key)
        if what != "put":
            continue
        text = cut.courier.playlists.pop(0)
        folder = key.rpartition("/")[0]
        listed = [line for line in text.splitlines() if line.endswith(".ts")]
        assert listed
        assert {f"{folder}/{name}" for name in listed} <= seen
        assert ("#EXT-X-ENDLIST" in text) is ("PLAYLIST-TYPE:VOD" in text)
    assert not cut.courier.playlists


def test_a_recording_has_one_start_and_one_completion_with_all_its_bytes(cut: Recorded) -> None:
    assert len(cut.started("HLS")) == 3
    for event in cut.completed("HLS"):
        playlist = cut.store / event.file.key
        parts = segments(cut, playlist)
        assert event.size == sum(each.stat().st_size for each in (playlist, *parts))
    assert [event.duration_s for event in cut.completed("HLS")] == [11, 11, 3]


# --- interruptions --------------------------------------------------------------------------

AWAY = (
    BEEPS
    + '[[participants]]\nuser_id = "ann"\ncolour = 0\nleave_s = 5\n'
    + ('[[participants]]\nuser_id = "bob"\ncolour = 3\njoin_s = 9.5\n')
)
"""Nobody is there from 5 s to 9.5 s."""


def test_an_interruption_ends_the_file_and_the_return_begins_one(tmp_path: Path) -> None:
    done = record_by_rule(
        tmp_path,
        AWAY,
        formats=("MP4", "HLS"),
        seconds=14,
        mp4={"record_max_duration_to_merge_file": 2},
        hls={"record_max_duration_to_merge_file": -1},
    )
    first, second = done.completed()
    # Two seconds of the empty room are in the first file, and then no more.
    assert first.duration_s == pytest.approx(7, abs=0.2)
    assert second.file.start_s == pytest.approx(9.5, abs=0.2)
    assert second.file.start_s + second.duration_s == pytest.approx(14, abs=0.01)
    whole, (one, other) = hearing.mono(done.whole.sound()), done.recordings()
    assert other.video.keyframes_s[0] == 0
    sounds = [hearing.mono(each.sound()) for each in (one, other)]
    starts = [0, round(second.file.start_s * RATE_HZ)]
    lengths = [round(each.duration_s * RATE_HZ) for each in (first, second)]
    assert_same_sound([s[:n] for s, n in zip(sounds, lengths, strict=True)], whole, starts)
    assert one.decode_errors() == other.decode_errors() == ""
    # The same interruption stays within the HLS recording, which may merge everything.
    assert [event.duration_s for event in done.completed("HLS")] == [pytest.approx(14, abs=0.1)]


def test_a_room_in_which_nobody_ever_is_gives_no_file(tmp_path: Path) -> None:
    late = '[[participants]]\nuser_id = "ann"\njoin_s = 60\n'
    done = record_by_rule(tmp_path, late, formats=("MP4", "HLS"), seconds=3)
    assert done.events.published == []
    assert done.output("record-mp4")["files"] == []
    assert done.output("record-mp4")["error"] is None
    assert not list(done.spool.iterdir())


# --- sound alone ----------------------------------------------------------------------------


def test_sound_alone_is_cut_at_the_sample(tmp_path: Path) -> None:
    done = record_by_rule(
        tmp_path,
        people(1, defaults='[defaults.microphone]\nmode = "beep"\nlevel_db = -12\n'),
        formats=("MP4", "HLS"),
        template="audio_only",
        seconds=20,
        hls={"record_slice_duration": 4},
        change_rule=cycles(mp4_s=7, hls_s=0),
    )
    whole = hearing.mono(done.whole.sound())
    files = done.recordings()
    sounds = [hearing.mono(each.sound()) for each in files]
    lengths = [7 * RATE_HZ, 7 * RATE_HZ, 6 * RATE_HZ]
    assert [round(each.audio.duration_s * RATE_HZ) for each in files] == lengths
    assert_same_sound(
        [s[:n] for s, n in zip(sounds, lengths, strict=True)],
        whole,
        [0, 7 * RATE_HZ, 14 * RATE_HZ],
    )
    (event,) = done.completed("HLS")
    parts = segments(done, done.store / event.file.key)
    text = (done.store / event.file.key).read_text()
    spans = [float(each) for each in re.findall(r"#EXTINF:([\d.]+),", text)]
    assert len(parts) == 5
    assert sum(spans) == pytest.approx(20, abs=1e-5)
    assert max(spans) <= 4 + 1024 / RATE_HZ
    assert ts_reading.discontinuities(parts) == []
    decoded = hearing.mono(decoded_sound(done.store / event.file.key))[1024:]
    assert_same_sound([decoded[: 20 * RATE_HZ]], whole, [0])
    assert (event.file.width, event.file.height) == (0, 0)


# --- what fails -----------------------------------------------------------------------------


class FullDisk:
    """Writes into the spool fail with ENOSPC from byte *after* on, until asked *failures* times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, failures: int) -> None:
        self._room = after
        self._failures = failures
        self.refused = 0
        for name in ("pwrite", "write"):
            monkeypatch.setattr(os, name, self._guard(getattr(os, name)))

    def _guard(self, write):
        def guarded(descriptor: int, data, *position: int) -> int:
            if "/spool/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                self._room -= len(data)
                if self._room < 0 and self.refused < self._failures:
                    self.refused += 1
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data, *position)

        return guarded


@pytest.mark.parametrize("record_format", ["MP4", "HLS"])
def test_a_full_disk_ends_the_file_and_another_begins_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_format: str
) -> None:
    disk = FullDisk(monkeypatch, after=100_000, failures=2)
    done = record_by_rule(tmp_path, people(1, defaults=BEEPS), formats=(record_format,), seconds=14)
    assert disk.refused == 2
    first, second = done.recordings(record_format)
    whole = counters(done.whole)
    for event, each in zip(done.completed(record_format), (first, second), strict=True):
        assert each.decode_errors() == ""
        begin = round(event.file.start_s * FPS)
        numbers = counters(each)
        assert numbers == whole[begin : begin + len(numbers)]
        # What is said of the length is what is in the file, but for what waited to be written.
        assert event.duration_s == pytest.approx(len(numbers) / FPS, abs=0.35)
    ended, begun = done.completed(record_format)
    # It was tried after 2 s, and with success after 4 s more; a keyframe comes every 2 s.
    assert begun.file.start_s - ended.duration_s <= 10
    assert begun.file.start_s + begun.duration_s == 14
    output = done.output(f"record-{record_format.lower()}")
    assert "No space left" in output["error"]
    assert [each["state"] for each in output["files"]] == ["stored", "stored"]
    # The job went on, and so did its other output.
    assert done.whole.video.packets == 14 * FPS
    assert done.output("mp4")["error"] is None
    assert not list(done.spool.iterdir())


def noted_syncs(
    monkeypatch: pytest.MonkeyPatch, *, fails_at: int | None = None
) -> list[tuple[str, int]]:
    """Names and sizes of files in the order in which they were brought to the disk."""
    synced: list[tuple[str, int]] = []

    def noted(path: Path) -> None:
        synced.append((path.suffix, path.stat().st_size))
        if len(synced) == fails_at:
            raise DestinationError(f"{path.name} cannot be written: {os.strerror(errno.EIO)}")
        sync(path)

    for module in ("mp4_file", "hls_file"):
        monkeypatch.setattr(f"worker.sinks.{module}.sync", noted)
    return synced


def test_a_power_cut_costs_two_seconds_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = noted_syncs(monkeypatch)
    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        formats=("MP4", "HLS"),
        seconds=13,
        hls={"record_slice_duration": 5},
    )
    sizes = {kind: [size for suffix, size in synced if suffix == kind] for kind in (".mp4", ".ts")}
    (mp4,) = done.recordings()
    assert mp4.decode_errors() == ""
    # Packets come some at a time, and are in the file a fragment later.
    assert 4 <= len(sizes[".mp4"]) <= 6
    assert sizes[".mp4"] == sorted(sizes[".mp4"])
    # Every two seconds, and each of the three segments as a whole.
    assert 6 <= len(sizes[".ts"]) <= 9
    for path in done.store.rglob("*.ts"):
        assert path.stat().st_size in sizes[".ts"]


def test_a_disk_that_does_not_take_what_was_written_ends_the_file_and_another_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted_syncs(monkeypatch, fails_at=2)
    done = record_by_rule(tmp_path, people(1, defaults=BEEPS), seconds=12)
    first, second = done.recordings()
    assert first.decode_errors() == second.decode_errors() == ""
    assert 3.5 <= first.video.packets / FPS <= 5
    assert "Input/output error" in done.output("record-mp4")["error"]
    assert done.whole.video.packets == 12 * FPS


def test_a_disk_that_stays_full_ends_the_sink_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.sinks.files.MOST_FAILURES", 1)
    FullDisk(monkeypatch, after=0, failures=1000)
    done = record_by_rule(tmp_path, people(1, defaults=BEEPS), seconds=7)
    output = done.output("record-mp4")
    assert "No space left" in output["error"]
    assert output["files"] == []
    assert done.events.published == []
    assert done.whole.video.packets == 7 * FPS


def test_a_store_that_is_away_at_the_end_leaves_files_in_the_spool(tmp_path: Path) -> None:
    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        formats=("MP4", "HLS"),
        seconds=9,
        change_rule=cycles(mp4_s=4),
        prepare=lambda courier: courier.gate.clear(),
        patience_s=5,
    )
    # Files were begun all the same, one after the other, and are whole.
    assert [event.file.start_s for event in done.started()] == [0, 4, 8]
    assert done.completed() == done.completed("HLS") == []
    output = done.output("record-mp4")
    assert [each["state"] for each in output["files"]] == ["spooled"] * 3
    assert "not everything was stored" in output["error"]
    left = sorted(done.spool.glob("*.mp4"))
    assert [Recording(each).video.packets for each in left] == [60, 60, 15]
    (playlist,) = done.spool.glob("*.m3u8")
    assert [each.exists() for each in segments(done, playlist)] == [True]


def test_a_playlist_that_is_refused_does_not_stop_the_segments(tmp_path: Path) -> None:
    refusals = iter([True, False, True, True] + [False] * 100)

    def refuse_some(what: str, key: str) -> DestinationError | None:
        return DestinationError("busy") if what == "put" and next(refusals) else None

    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        formats=("HLS",),
        seconds=12,
        hls={"record_slice_duration": 2},
        refusal=refuse_some,
    )
    (event,) = done.completed("HLS")
    assert len(segments(done, done.store / event.file.key)) == 6
    assert "#EXT-X-ENDLIST" in (done.store / event.file.key).read_text()
    assert len(done.courier.playlists) == 3


def test_a_file_that_is_refused_is_announced_as_begun_but_never_as_complete(
    tmp_path: Path,
) -> None:
    def refuse_second(what: str, key: str) -> DestinationError | None:
        refused = what == "seal" and key.endswith("-11.mp4")
        return DestinationRefused("no such bucket") if refused else None

    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        seconds=10,
        change_rule=cycles(mp4_s=4),
        refusal=refuse_second,
    )
    assert [event.file.start_s for event in done.started()] == [0, 4, 8]
    assert [event.file.start_s for event in done.completed()] == [0, 8]
    output = done.output("record-mp4")
    assert [each["state"] for each in output["files"]] == ["stored", "spooled", "stored"]
    assert output["error"] == "no such bucket"


def test_a_store_that_is_slow_does_not_hold_up_the_next_file(tmp_path: Path) -> None:
    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        seconds=10,
        change_rule=cycles(mp4_s=3),
        prepare=lambda courier: courier.open_gate_after(9),
    )
    kinds = [
        (type(event).__name__, event.file.start_s)
        for event in done.events.published
        if isinstance(event, FileStarted | FileCompleted)
    ]
    begun_first = kinds.index(("FileCompleted", 0))
    assert ("FileStarted", 3) in kinds[:begun_first]
    assert ("FileStarted", 6) in kinds[:begun_first]
    assert [event.duration_s for event in done.completed()] == [3, 3, 3, 1]
    assert [number for each in done.recordings() for number in counters(each)] == counters(
        done.whole
    )


def test_what_another_job_has_stored_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "records"
    folder.mkdir(parents=True)
    taken = [folder / name for name in ("fixed.mp4", "fixed.m3u8", "fixed_00000.ts")]
    for path in taken:
        path.write_text("precious")
    done = record_by_rule(
        tmp_path,
        people(1, defaults=BEEPS),
        formats=("MP4", "HLS"),
        seconds=3,
        mp4={"record_prefix": "fixed"},
        hls={"record_prefix": "fixed", "record_slice_duration": 2},
    )
    assert [path.read_text() for path in taken] == ["precious"] * 3
    (mp4,), (hls,) = done.completed(), done.completed("HLS")
    assert (mp4.file.key, hls.file.key) == ("records/fixed_1.mp4", "records/fixed-1.m3u8")
    assert [each.name for each in segments(done, done.store / hls.file.key)] == [
        "fixed_00000_1.ts",
        "fixed_00001.ts",
    ]
    assert [each.video.packets for each in (*done.recordings(), *done.recordings("HLS"))] == [
        45,
        45,
    ]
