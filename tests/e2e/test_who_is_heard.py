"""Whom one hears in a finished file: measured by tones, one per person."""

import numpy as np
import pytest

from tests.support import hearing
from tests.support.rehearse import people, rehearse
from worker.testroom.person import tone_hz

TEN = list(range(10))
TONES_HZ = [tone_hz(n) for n in TEN]
AUDIBLE_DB = -55.0
"""A tone above this is in the mix; what is shut out is below -80."""
SETTLING_S = 0.3

LEVELS_DB = {
    0.0: [-16, -20, -24, -28, -32, -36, -40, -44, -48, -52],
    6.0: [-16, -20, -48, -28, -32, -36, -40, -44, -24, -52],  # 2 and 8 change places
    12.0: [-52, -20, -48, -28, -32, -36, -16, -44, -24, -40],  # 0 falls, 6 rises
    18.0: [-52, -48, -44, -16, -20, -24, -28, -32, -36, -40],  # three new ones at once
}
SECONDS = 24


def stepped_levels() -> str:
    lines = [
        f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n}\ncamera = false\n'
        f'microphone = {{mode = "tone", level_db = {LEVELS_DB[0.0][n]}, beep = false}}\n'
        for n in TEN
    ]
    for at_s, levels in LEVELS_DB.items():
        lines += [
            f'[[events]]\nat_s = {at_s}\nuser_id = "user-{n}"\ndo = "voice"\n'
            f"microphone = {{level_db = {levels[n]}}}\n"
            for n in TEN
            if at_s > 0
        ]
    return "\n".join(lines)


def expected_at(time_s: float) -> set[int]:
    levels = LEVELS_DB[max(at_s for at_s in LEVELS_DB if at_s <= time_s)]
    return set(sorted(TEN, key=lambda n: levels[n], reverse=True)[:3])


@pytest.fixture(scope="module")
def ten_tones(tmp_path_factory):
    done = rehearse(
        tmp_path_factory.mktemp("tones"), stepped_levels(), template="audio_only", seconds=SECONDS
    )
    return done, hearing.mono(done.recording.sound())


def test_the_three_loudest_of_ten_are_heard_and_nobody_else(ten_tones):
    _, pcm = ten_tones
    levels = hearing.tone_levels(pcm, TONES_HZ)
    judged, right = 0, 0
    for window, row in enumerate(levels):
        start_s = window / 10
        since_change_s = start_s - max(at_s for at_s in LEVELS_DB if at_s <= start_s)
        if since_change_s < SETTLING_S:
            continue
        judged += 1
        right += {n for n in TEN if row[n] > AUDIBLE_DB} == expected_at(start_s)

    assert judged > 200
    assert right / judged >= 0.99, f"right in {right} of {judged} windows"


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
    strength = hearing.envelope(pcm, tone_hz(9))
    steady = float(np.median(strength[6 * 2000 : 7 * 2000]))
    assert 20 * np.log10(steady / np.sqrt(2)) == pytest.approx(-18, abs=1.5)
    half = np.flatnonzero(strength > steady / 2)[0] / 2000
    # Half of the strength is reached where half the 8.3 ms window is filled; Opus adds 6.5 ms.
    assert half - 5.0 <= 0.020, f"heard from {half:.4f} s on"


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
