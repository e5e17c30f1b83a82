import numpy as np
import pytest

from worker.core.stretch import MARGIN, stretch

RATE = 48_000


def wave(frequency_hz, positions):
    return np.sin(2 * np.pi * frequency_hz * positions / RATE)


def source(frequency_hz, consumed, start=0, channels=1):
    positions = np.arange(start - MARGIN, start + consumed + MARGIN)
    mono = wave(frequency_hz, positions)
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("frequency_hz", [50, 997, 8000, 16_000, 20_000])
@pytest.mark.parametrize("consumed", [952, 959, 961, 968])
def test_every_sample_lies_at_its_fractional_position(frequency_hz, consumed):
    out = stretch(source(frequency_hz, consumed), consumed)

    expected = wave(frequency_hz, np.arange(960) * consumed / 960)
    assert out.shape == (960, 1)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0], expected, atol=4e-4)


def test_an_unstretched_block_is_copied_exactly():
    samples = np.random.default_rng(1).standard_normal((960 + 2 * MARGIN, 1)).astype(np.float32)

    np.testing.assert_allclose(stretch(samples, 960), samples[MARGIN:-MARGIN], atol=1e-6)


def test_blocks_of_changing_length_join_without_a_seam():
    start, pieces, places = 0, [], []
    for consumed in [960, 961, 960, 968, 952, 959, 960, 964, 960]:
        pieces.append(stretch(source(3000, consumed, start), consumed)[:, 0])
        places.append(start + np.arange(960) * consumed / 960)
        start += consumed

    error = np.concatenate(pieces) - wave(3000, np.concatenate(places))
    assert np.abs(error).max() < 1e-4


def test_both_channels_are_treated_alike():
    samples = source(440, 961, channels=2)
    samples[:, 1] *= -1

    out = stretch(samples, 961)

    assert out.shape == (960, 2)
    np.testing.assert_array_equal(out[:, 0], -out[:, 1])


def test_a_constant_stays_constant():
    out = stretch(np.ones((957 + 2 * MARGIN, 1), np.float32), 957)

    np.testing.assert_allclose(out, 1, atol=1e-6)
