"""A camera that changes its size, rotation or codec while it is recorded (faults M6 to M9)."""

from itertools import pairwise

import pytest

from tests.support.film import CANVAS, FPS, Film, Take, counters, film, record
from worker.core.identity import Codec
from worker.core.layout.geometry import Size

VIDEO_CODECS = (Codec.VP8, Codec.VP9, Codec.H264)
START_FRAMES = 3
"""Until the first frame's instant has come; nothing to see before."""


def shown(done: Film, directory) -> list[int | None]:
    """Which frame each picture of the finished file shows; the file itself is sound."""
    recording, encoders_opened = record(done, directory)
    assert encoders_opened == 1
    assert recording.decode_errors() == ""
    assert (recording.video.width, recording.video.height) == (CANVAS.width, CANVAS.height)
    assert recording.video.packets == round(done.seconds * FPS)
    return counters(recording.frames(), done.takes)


def longest_freeze(numbers: list[int | None]) -> int:
    """Pictures that are unreadable or show no newer frame, at most in a row."""
    longest = run = 0
    newest = -1
    for number in numbers:
        is_new = number is not None and number > newest
        run = 0 if is_new else run + 1
        newest = number if is_new and number is not None else newest
        longest = max(longest, run)
    return longest


def assert_continuous(numbers: list[int | None], glitch: int = 1) -> None:
    """Every picture shows the frame after the one before, but for *glitch* frames in a row."""
    print(numbers)
    seen = numbers[START_FRAMES:]
    assert longest_freeze(seen) <= glitch
    known = [number for number in seen if number is not None]
    assert all(0 <= b - a <= 1 + glitch for a, b in pairwise(known))
    assert len(known) >= len(seen) - glitch * 4


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_size_that_changes_every_second_does_not_show_in_the_file(tmp_path, codec):
    sizes = (Size(320, 180), Size(1920, 1080), Size(320, 180), Size(180, 320), Size(640, 360))
    done = film([Take(1, codec, size) for size in sizes])
    assert [frame.size for frame in done.frames if frame.size is not None][::1] == list(sizes)
    assert_continuous(shown(done, tmp_path))


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_a_camera_that_is_turned_stays_upright(tmp_path, codec):
    """Phones send the sensor's picture and say how it must be turned; no keyframe tells of it."""
    turns = (0, 90, 180, 270, 0)
    done = film([Take(0.8, codec, Size(640, 360), turn) for turn in turns])
    assert [frame.rotation for frame in done.frames[:: len(done.frames) // 5]] == list(turns)
    assert sum(frame.keyframe for frame in done.frames) < len(turns), "turns bring no keyframe"
    assert_continuous(shown(done, tmp_path))


def test_a_portrait_camera_may_change_to_landscape_and_back(tmp_path):
    sizes = (Size(360, 640), Size(640, 360), Size(360, 640))
    done = film(
        [Take(0.6, Codec.VP9, size, turn) for size, turn in zip(sizes, (0, 0, 90), strict=True)]
    )
    assert_continuous(shown(done, tmp_path))


CODEC_CHANGES = (Codec.VP8, Codec.H264, Codec.VP9, Codec.VP8)


def test_a_codec_that_changes_with_the_payload_type_does_not_show(tmp_path):
    done = film([Take(0.8, codec) for codec in CODEC_CHANGES])
    assert done.requests_ns == []
    assert_continuous(shown(done, tmp_path))


def test_where_the_first_keyframe_of_another_codec_is_missing_one_is_asked_for(tmp_path):
    takes = [Take(1, codec, lacks_first_frame=at > 0) for at, codec in enumerate(CODEC_CHANGES)]
    done = film(takes)
    changes_ns = [1_000_000_000 * at for at in (1, 2, 3)]
    delays_ms = [(b - a) / 1e6 for a, b in zip(changes_ns, done.requests_ns, strict=True)]
    print("asked after", delays_ms, "ms")
    assert max(delays_ms) < 200
    keyframes = [frame for frame in done.frames if frame.keyframe]
    assert [frame.codec for frame in keyframes] == list(CODEC_CHANGES)
    numbers = shown(done, tmp_path)
    assert longest_freeze(numbers[START_FRAMES:]) <= 0.3 * FPS, "the bar is a second"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_layers_that_a_server_switches_in_one_stream_are_one_film(tmp_path, codec):
    sizes = [Size(640, 360), Size(320, 180), Size(160, 90), Size(640, 360)] * 2
    done = film([Take(0.4, codec, size) for size in sizes])
    assert {frame.epoch for frame in done.frames} == {0}
    assert_continuous(shown(done, tmp_path))
