"""Looking at a recording whose contents are known, because it was made here."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support import container, hearing
from tests.support.look import Recording
from tests.support.seeing import Watch
from worker.core.identity import Source
from worker.core.layout.geometry import Rect, Size
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person, Sighting
from worker.testroom.voice import Voice, VoiceMode, sound

FPS = 30
SECONDS = 4
CANVAS = Size(320, 180)
SOURCE = Size(160, 180)
ADA, BOB = Person(1, "Ada"), Person(2, "Bob")
BEEP_LATE_S = 0.030


def canvas(painters: list[Painter], frame: int) -> av.VideoFrame:
    tiles = [painter.paint(frame + 7 * index) for index, painter in enumerate(painters)]
    planes = [
        np.hstack([getattr(tile, name) for tile in tiles]).ravel() for name in ("y", "u", "v")
    ]
    packed = np.concatenate(planes).reshape(CANVAS.height * 3 // 2, CANVAS.width)
    picture = av.VideoFrame.from_ndarray(packed, format="yuv420p")
    picture.pts = frame
    return picture


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two tiles side by side; Bob is seven frames ahead; Ada's beeps come 30 ms late."""
    path = tmp_path_factory.mktemp("look") / "known.mp4"
    painters = [
        Painter(Picture(person, Source.CAMERA, SOURCE, FPS, 10, 0.2)) for person in (ADA, BOB)
    ]
    voice = Voice(VoiceMode.BEEP, -20)
    late = round(BEEP_LATE_S * hearing.RATE_HZ)
    pcm = np.roll(sound(voice, ADA, SECONDS), late) + sound(voice, BOB, SECONDS)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS, options={"preset": "superfast"})
        video.width, video.height, video.pix_fmt = CANVAS.width, CANVAS.height, "yuv420p"
        video.bit_rate, video.gop_size, video.time_base = 500_000, 60, Fraction(1, FPS)
        audio = file.add_stream("aac", rate=hearing.RATE_HZ, layout="stereo")
        audio.bit_rate = 128_000
        for frame in range(FPS * SECONDS):
            file.mux(video.encode(canvas(painters, frame)))
        file.mux(video.encode(None))
        for start in range(0, len(pcm), 1024):
            both = np.ascontiguousarray(np.tile(pcm[start : start + 1024], (2, 1)))
            block = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
            block.sample_rate, block.pts = hearing.RATE_HZ, start
            file.mux(audio.encode(block))
        file.mux(audio.encode(None))
    return Recording(path)


LEFT = Watch(Rect(0, 0, 160, 180), source=SOURCE)
RIGHT = Watch(Rect(160, 0, 160, 180), source=SOURCE)


def test_facts_are_those_of_the_file(recording: Recording):
    video, audio = recording.video, recording.audio

    assert (video.codec, video.width, video.height) == ("h264", 320, 180)
    assert (video.packets, video.frame_rate, recording.fps) == (120, 30, 30.0)
    assert video.duration_s == pytest.approx(4.0, abs=0.001)
    assert (audio.codec, audio.profile) == ("aac", "LC")
    assert (audio.sample_rate_hz, audio.channels) == (48_000, 2)
    assert recording.facts.duration_s == pytest.approx(4.0, abs=0.03)
    assert video.keyframes_s[:2] == (0.0, 2.0)
    assert 50 < video.bitrate_kbps < 700
    assert recording.path.stat().st_size > video.size_bytes + audio.size_bytes


def test_every_frame_is_seen_once(recording: Recording):
    frames = list(recording.frames())

    assert len(frames) == 120
    assert {frame.size for frame in frames} == {CANVAS}


def test_a_part_can_be_looked_at(recording: Recording):
    assert len(list(recording.frames(start_s=1.0, seconds=0.5))) == 15


def test_looking_may_stop_early(recording: Recording):
    frames = recording.frames()
    next(frames)
    frames.close()


def test_tiles_tell_whose_picture_they_show_and_which(recording: Recording):
    histories = recording.watch({"left": LEFT, "right": RIGHT})

    assert histories["left"].counters == list(range(120))
    assert histories["right"].counters == list(range(7, 127))
    assert set(histories["left"].people) == {Sighting(1, is_screen=False)}
    assert set(histories["right"].people) == {Sighting(2, is_screen=False)}


def test_sound_starts_with_the_file(recording: Recording):
    pcm = recording.sound()

    assert pcm.shape[1] == 2
    assert len(pcm) == pytest.approx(SECONDS * 48_000, abs=1024)
    onsets = hearing.beep_onsets(hearing.mono(pcm), BOB.tone_hz)
    assert onsets == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.003)


def test_the_offset_between_picture_and_sound_is_measured_per_person(recording: Recording):
    histories = recording.watch({"left": LEFT, "right": RIGHT})

    ada = recording.av_offsets_s(histories["left"], ADA.tone_hz)
    bob = recording.av_offsets_s(histories["right"], BOB.tone_hz)

    assert ada == pytest.approx([-0.030] * 3, abs=0.003)
    # Bob's flash comes seven frames, 233 ms, before his beep; the last beep has none.
    assert bob == pytest.approx([-0.2333] * 3, abs=0.003)


def test_a_sound_file_decodes_without_complaint_and_a_damaged_one_does_not(
    recording: Recording, tmp_path: Path
):
    content = bytearray(recording.path.read_bytes())
    middle = content.index(b"mdat") + 2000
    content[middle : middle + 3000] = bytes(3000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)

    assert recording.decode_errors() == ""
    assert container.decode_errors(damaged) != ""
    assert container.decode_errors(tmp_path / "missing.mp4") != ""
