import numpy as np
import pytest

from tests.support import hearing

RATE = hearing.RATE_HZ
MS = 0.001


def sine(hz: float, seconds: float, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def with_beeps(pcm: np.ndarray, hz: float, onsets_s: list[float], amplitude: float) -> np.ndarray:
    mixed = pcm.copy()
    for onset_s in onsets_s:
        start = round(onset_s * RATE)
        mixed[start : start + 4800] += sine(hz, 0.1, amplitude)
    return mixed


@pytest.mark.parametrize("onset_s", [0.0, 0.5003, 0.7777, 1.2345])
def test_a_beep_is_found_to_a_millisecond(onset_s: float):
    pcm = with_beeps(np.zeros(2 * RATE), 760, [onset_s], 0.1)

    assert hearing.beep_onsets(pcm, 760) == pytest.approx([onset_s], abs=1 * MS)


def test_a_beep_is_found_among_other_peoples_beeps_and_tones_and_noise():
    noise = np.random.default_rng(1).normal(0, 0.01, 4 * RATE)
    others = noise + sine(640, 4, 0.3) + sine(1000, 4, 0.3)
    others = with_beeps(others, 880, [0.2, 1.2, 2.2, 3.2], 0.3)
    pcm = with_beeps(others, 760, [0.25, 1.25, 2.25, 3.25], 0.1)

    assert hearing.beep_onsets(pcm, 760) == pytest.approx([0.25, 1.25, 2.25, 3.25], abs=3 * MS)


def test_a_steady_tone_is_no_beep():
    assert len(hearing.beep_onsets(sine(760, 3, 0.3), 760)[1:-1]) == 0


def test_a_long_burst_is_no_beep():
    pcm = np.zeros(2 * RATE)
    pcm[RATE // 2 : RATE] = sine(760, 0.5, 0.3)

    assert len(hearing.beep_onsets(pcm, 760)) == 0


def test_a_beep_below_the_floor_is_not_heard():
    pcm = with_beeps(np.zeros(RATE), 760, [0.5], 0.0005)

    assert len(hearing.beep_onsets(pcm, 760)) == 0


def test_tones_are_told_apart_and_measured():
    pcm = sine(400, 1, 0.5) + sine(520, 1, 0.05) + sine(640, 1, 0.005)

    levels = hearing.tone_levels(pcm, [400, 520, 640, 760])

    assert levels.shape == (10, 4)
    # 20 log10(0.5 / sqrt 2) = -9.03, then 20 dB less each.
    assert levels[4] == pytest.approx([-9.03, -29.03, -49.03, -200], abs=0.05)
    assert hearing.loudest(levels[4], 2) == {0, 1}
    assert hearing.loudest(levels[4], 4, floor_db=-40) == {0, 1}


def test_rms_of_a_full_scale_sine_is_minus_three():
    assert hearing.rms_db(sine(1000, 1)) == pytest.approx(-3.01, abs=0.01)
    assert hearing.rms_db(np.zeros(100)) == -200


def test_a_true_peak_lies_between_the_samples():
    # A quarter of the sample rate, sampled 45 degrees off its peaks: samples reach only 0.707.
    pcm = np.sin(2 * np.pi * 12_000 * np.arange(RATE) / RATE + np.pi / 4)

    assert np.abs(pcm).max() == pytest.approx(0.7071, abs=0.001)
    assert hearing.true_peak_db(pcm[:, np.newaxis]) == pytest.approx(0.0, abs=0.35)


def test_a_step_clicks_and_a_ramp_does_not():
    tone = sine(760, 2, 0.3)
    stepped, ramped = tone.copy(), tone.copy()
    stepped[RATE + 11 :] *= 0.5
    ramped *= np.interp(np.arange(2 * RATE), [RATE, RATE + 960], [1.0, 0.5])

    assert hearing.clicks(stepped) == pytest.approx([1.0], abs=2 * MS)
    assert len(hearing.clicks(ramped)) == 0


def test_silences_are_listed_when_long_enough():
    pcm = sine(440, 1, 0.5) + 0.6
    pcm[4800:9600] = 0.0
    pcm[24_000:24_100] = 0.0

    assert hearing.silences(pcm) == [(pytest.approx(0.1), pytest.approx(0.2))]


def test_the_onset_of_sound_is_found_to_a_millisecond():
    pcm = np.zeros(RATE)
    pcm[30_000:] = 0.1

    assert hearing.level_onset(pcm, threshold_db=-40) == pytest.approx(0.625, abs=1.1 * MS)
    assert hearing.level_onset(pcm, threshold_db=-40, start_s=0.7) == pytest.approx(0.7)
    assert hearing.level_onset(pcm, threshold_db=-10) is None
