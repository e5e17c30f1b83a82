import numpy as np
import pyloudnorm
import pytest

from tests.support import hearing
from worker.testroom.person import PEOPLE, Person
from worker.testroom.voice import LevelUnit, Voice, VoiceMode, block_levels, sound

ADA = Person(3, "Ada")  # 760 Hz


def test_silence_is_digital_silence():
    assert not sound(Voice(VoiceMode.SILENT), ADA, 2).any()


def test_a_beep_starts_with_every_whole_second_and_lasts_a_tenth():
    pcm = sound(Voice(VoiceMode.BEEP, -20.0), ADA, 3).astype(float)

    assert hearing.beep_onsets(pcm, 760) == pytest.approx([0.0, 1.0, 2.0], abs=0.002)
    assert not pcm[4800:48_000].any()
    assert hearing.rms_db(pcm[:4800]) == pytest.approx(-20.0, abs=0.01)


def test_a_tone_has_the_asked_level_and_no_step_where_the_loop_ends():
    pcm = sound(Voice(VoiceMode.TONE, -26.0, beep=False), ADA, 2).astype(float)
    twice = np.concatenate([pcm, pcm])

    assert hearing.rms_db(pcm) == pytest.approx(-26.0, abs=0.01)
    assert hearing.tone_levels(pcm, [760])[3, 0] == pytest.approx(-26.0, abs=0.05)
    assert len(hearing.clicks(twice[24_000:-24_000], threshold_db=-100)) == 0


def test_a_beep_is_heard_over_speech():
    pcm = sound(Voice(VoiceMode.SPEECH, -23.0, beep=True), ADA, 10).astype(float)

    assert hearing.beep_onsets(pcm, 760) == pytest.approx(range(10), abs=0.004)


@pytest.mark.parametrize("index", range(0, PEOPLE, 5))
def test_speech_has_the_asked_loudness(index: int):
    voice = Voice(VoiceMode.SPEECH, -18.0, LevelUnit.LUFS, beep=False)
    pcm = sound(voice, Person(index, "x"), 5)

    loudness = pyloudnorm.Meter(48_000).integrated_loudness(pcm.astype(float))
    assert loudness == pytest.approx(-18.0, abs=0.1)


def test_speech_is_modulated_at_the_rate_of_syllables():
    pcm = sound(Voice(VoiceMode.SPEECH, -20.0, beep=False), ADA, 10).astype(float)
    power = np.square(pcm).reshape(-1, 480).mean(axis=1)

    dips = np.count_nonzero(np.diff((power > power.mean() / 4).astype(int)) == -1)

    assert 2.0 <= dips / 10 <= 6.5


def test_speech_leaves_the_band_empty_in_which_clicks_are_looked_for():
    pcm = sound(Voice(VoiceMode.SPEECH, -16.0, LevelUnit.LUFS), Person(0, "x"), 5)

    assert len(hearing.clicks(pcm.astype(float), above_hz=8000, threshold_db=-50)) == 0


def test_people_speak_differently_and_each_always_the_same():
    voice = Voice(VoiceMode.SPEECH)

    assert np.array_equal(sound(voice, ADA, 1), sound(voice, ADA, 1))
    assert not np.array_equal(sound(voice, ADA, 1), sound(voice, Person(4, "Bob"), 1))


def test_nothing_exceeds_full_scale():
    assert np.abs(sound(Voice(VoiceMode.SPEECH, 0.0), ADA, 1)).max() <= 1.0


def test_levels_of_blocks_are_those_of_rfc_6464():
    pcm = np.zeros(4 * 960, dtype=np.float32)
    pcm[960:1920] = 1.0
    pcm[1920:2880] = 0.1

    assert block_levels(pcm) == (-127, 0, -20, -127)
