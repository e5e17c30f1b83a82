import numpy as np
import pytest

from tests.support.audio_signals import RATE, speech_like, tone
from worker.core.audio.splice import (
    BEHIND,
    LEAST_LAG,
    MOST_LAG,
    OVERLAP,
    find_splice,
    join,
)

LENGTH = BEHIND + 960 + MOST_LAG


def around(sound, start=RATE):
    """The block at *start* with what a splice may need before and after it."""
    sound = sound[:, None] if sound.ndim == 1 else sound
    return np.asarray(sound[start - BEHIND : start - BEHIND + LENGTH], np.float32)


def voiced(pitch_hz):
    """Ten harmonics: as periodic as a sung vowel."""
    return sum(tone(pitch_hz * n, 2 * RATE, -12 - 3 * n, phase=n * n) for n in range(1, 11))


@pytest.mark.parametrize("most", [MOST_LAG, 500, -500, -MOST_LAG, 14_400, -14_400])
@pytest.mark.parametrize("pitch_hz", [110, 147.3, 220, 301.7])
def test_a_whole_number_of_pitch_periods_goes(pitch_hz, most):
    splice = find_splice(around(voiced(pitch_hz)), most)

    periods = abs(splice.lag) * pitch_hz / RATE
    assert periods == pytest.approx(round(periods), abs=0.02)
    assert round(periods) >= 1
    assert LEAST_LAG <= abs(splice.lag) <= min(abs(most), MOST_LAG)
    assert np.sign(splice.lag) == np.sign(most)
    assert splice.likeness > 0.97


def test_the_longest_of_equally_good_lags_is_taken():
    splice = find_splice(around(voiced(400)), MOST_LAG)

    assert splice.lag == MOST_LAG


@pytest.mark.parametrize("most", [MOST_LAG, -MOST_LAG])
def test_the_block_begins_and_ends_where_its_neighbours_do(most):
    sound = np.asarray(np.stack([voiced(150), voiced(201)], axis=1), np.float32)
    samples = around(sound)
    splice = find_splice(samples, most)

    block = join(samples, splice)

    assert block.shape == (960, 2)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block[: splice.at], sound[RATE : RATE + splice.at])
    after = RATE + splice.lag + splice.at + OVERLAP
    np.testing.assert_array_equal(
        block[splice.at + OVERLAP :], sound[after : RATE + 960 + splice.lag]
    )


def test_what_is_not_alike_keeps_its_energy():
    rng = np.random.default_rng(3)
    powers = []
    for seed in range(200):
        noise = rng.standard_normal(LENGTH)[:, None].astype(np.float32)
        splice = find_splice(noise, MOST_LAG if seed % 2 else -MOST_LAG)
        fade = join(noise, splice)[splice.at : splice.at + OVERLAP]
        powers.append(np.mean(np.square(fade)))

    assert np.mean(powers) == pytest.approx(1.0, abs=0.1)


def test_the_quietest_place_is_taken():
    sound = speech_like(2 * RATE, -20, seed=4, pauses=False)
    sound[RATE + 240 : RATE + 720] *= 0.01

    assert find_splice(around(sound), MOST_LAG).at == 240


def test_sides_that_cancel_each_other_are_no_silence():
    left = voiced(137)

    splice = find_splice(around(np.stack([left, -left], axis=1)), MOST_LAG)

    periods = splice.lag * 137 / RATE
    assert periods == pytest.approx(round(periods), abs=0.02)


@pytest.mark.parametrize("most", [600, -600])
def test_in_silence_as_much_as_wanted_goes(most):
    splice = find_splice(np.zeros((LENGTH, 1), np.float32), most)

    assert (splice.lag, splice.likeness) == (most, 1.0)
    assert not join(np.zeros((LENGTH, 1), np.float32), splice).any()
