"""Whom one hears in a finished file: measured by tones, one per person."""

import numpy as np
import pytest

from tests.support import hearing
from tests.support.rehearse import people, rehearse
from tests.support.selection import begins_within_s, heard, judge, loudest_at, stepped_tones
from worker.testroom.person import tone_hz

TONES_HZ = [tone_hz(n) for n in range(10)]
LEVELS_DB = {
    0.0: [-16, -20, -24, -28, -32, -36, -40, -44, -48, -52],
    6.0: [-16, -20, -48, -28, -32, -36, -40, -44, -24, -52],  # 2 and 8 change places
    12.0: [-52, -20, -48, -28, -32, -36, -16, -44, -24, -40],  # 0 falls, 6 rises
    18.0: [-52, -48, -44, -16, -20, -24, -28, -32, -36, -40],  # three new ones at once
}
SECONDS = 24


@pytest.fixture(scope="module")
def ten_tones(tmp_path_factory):
    done = rehearse(
        tmp_path_factory.mktemp("tones"),
        stepped_tones(LEVELS_DB),
        template="audio_only",
        seconds=SECONDS,
    )
    return done, hearing.mono(done.recording.sound())


def test_the_three_loudest_of_ten_are_heard_and_nobody_else(ten_tones):
    _, pcm = ten_tones
    verdict = judge(
        heard(pcm, TONES_HZ), lambda time_s: loudest_at(LEVELS_DB, time_s), list(LEVELS_DB)
    )

    assert verdict.judged > 200
    assert verdict.share >= 0.99, verdict


def test_a_swap_of_speakers_makes_no_click(ten_tones):
    _, pcm = ten_tones

    clicks_s = hearing.clicks(pcm, threshold_db=-50)

    assert len(clicks_s) == 0, f"clicks at {clicks_s}"


def test_the_result_tells_who_spoke_when(ten_tones):
    done, _ = ten_tones
    turns = done.participant("user-1")["speaker_turns"]

    assert len(turns) == 1
    assert turns[0]["from_s"] <= 0.3
    assert turns[0]["to_s"] == pytest.approx(18, abs=0.5)
    assert done.participant("user-9")["speaker_turns"] == []


def test_three_full_scale_talkers_stay_below_minus_one_dbtp(tmp_path):
    scenario = people(
        3,
        defaults="[defaults.microphone]\n"
        'mode = "tone"\nlevel_db = 0\nbeep = true\n[defaults.camera]\nfps = 5\n',
    )

    done = rehearse(
        tmp_path, scenario, template="audio_only", seconds=8, audio={"levelling": False}
    )

    sound = done.recording.sound()
    assert hearing.rms_db(hearing.mono(sound)) > -12, "they are loud indeed"
    assert hearing.true_peak_db(sound) <= -1.0


def test_a_newcomers_first_20_ms_are_heard(tmp_path):
    """Three talk at -30 dBFS; a fourth begins at 5 s, louder, out of digital silence."""
    lines = [
        f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n}\ncamera = false\n'
        'microphone = {mode = "tone", level_db = -30, beep = false}\n'
        for n in range(3)
    ]
    lines.append(
        '[[participants]]\nuser_id = "new"\ncolour = 9\ncamera = false\n'
        'microphone = {mode = "silent", level_db = -18, beep = false}\n'
        '[[events]]\nat_s = 5.0\nuser_id = "new"\ndo = "voice"\n'
        'microphone = {mode = "tone", level_db = -18, beep = false}\n'
    )

    done = rehearse(
        tmp_path, "\n".join(lines), template="audio_only", seconds=8, audio={"levelling": False}
    )

    pcm = hearing.mono(done.recording.sound())
    from_s = begins_within_s(pcm, tone_hz(9), -18)
    # Half of the strength is reached where half the 8.3 ms window is filled; Opus adds 6.5 ms.
    assert from_s - 5.0 <= 0.020, f"heard from {from_s:.4f} s on"


@pytest.mark.parametrize(
    "seconds", [60, pytest.param(3600, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_silence_stays_silence_and_the_sound_has_no_gap(tmp_path, seconds):
    """Fault table, M17."""
    scenario = "loop_s = 1\n" + people(
        2, defaults='[defaults.microphone]\nmode = "silent"\nbeep = false\n'
    ).replace("colour", "camera = false\ncolour")

    done = rehearse(tmp_path, scenario, template="audio_only", seconds=seconds)

    times_s = np.array(done.recording.audio.times_s)
    np.testing.assert_allclose(np.diff(times_s), 1024 / 48_000, atol=1e-4)
    assert done.recording.audio.duration_s == pytest.approx(seconds, abs=0.1)
    sound = hearing.mono(done.recording.sound())
    assert np.isfinite(sound).all()
    assert hearing.rms_db(sound) < -90
    assert hearing.silences(sound)[0] == pytest.approx((0, seconds), abs=0.1)
