import numpy as np
import pytest

from tests.support.audio_signals import tone
from worker.core.audio.mixing import Gate, Strip, mix, sum_tracks


def mono(value):
    return np.full((960, 1), value, np.float32)


def test_voices_add_up_and_mono_goes_to_both_channels():
    left = np.stack([np.full(960, 0.25), np.zeros(960)], axis=1).astype(np.float32)

    out = mix([Strip(mono(0.5), Gate.OPEN), Strip(left, Gate.OPEN)])

    assert out.shape == (960, 2)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0.75, 0.5]] * 960)


def test_nobody_is_exact_silence():
    assert not mix([]).any()
    assert not mix([Strip(mono(0.0), Gate.OPENING, 1.0, 8.0)]).any()


def test_a_full_scale_sum_does_not_wrap():
    out = mix([Strip(mono(1.0), Gate.OPEN)] * 3)

    np.testing.assert_allclose(out, 3)


def test_an_opening_and_a_closing_gate_add_up_to_an_open_one():
    out = mix([Strip(mono(1.0), Gate.OPENING), Strip(mono(1.0), Gate.CLOSING)])

    np.testing.assert_allclose(out, 1, atol=1e-6)
    opening = mix([Strip(mono(1.0), Gate.OPENING)])[:, 0]
    assert opening[0] < 1e-5
    assert opening[-1] > 1 - 1e-5
    assert (np.diff(opening) >= 0).all()


def test_a_gain_moves_along_a_straight_line_and_meets_the_next_block():
    first = mix([Strip(mono(1.0), Gate.OPEN, 1.0, 2.0)])[:, 0]
    second = mix([Strip(mono(1.0), Gate.OPEN, 2.0, 1.5)])[:, 0]

    assert first[0] == pytest.approx(1.0, abs=1e-3)
    assert np.diff(np.concatenate([first, second])).max() < 1 / 900
    assert second[-1] == pytest.approx(1.5, abs=1e-3)


def test_the_pcm_of_a_voice_is_not_written():
    pcm = mono(0.5)
    mix([Strip(pcm, Gate.CLOSING, 1.0, 2.0)])

    np.testing.assert_array_equal(pcm, 0.5)


def test_tracks_of_one_participant_become_one_voice():
    speech = np.asarray(tone(440, 960, -20)[:, None], np.float32)
    film = np.asarray(np.stack([tone(100, 960), tone(200, 960)], axis=1), np.float32)

    assert sum_tracks([speech]) is speech
    np.testing.assert_allclose(sum_tracks([speech, film]), film + speech)
    np.testing.assert_allclose(sum_tracks([film, speech, speech]), film + 2 * speech, atol=1e-6)
    assert sum_tracks([speech, speech]).shape == (960, 1)
