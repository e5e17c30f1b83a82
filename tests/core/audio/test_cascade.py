import numpy as np
import pytest
from scipy import signal

from worker.core.audio.cascade import FRAME, Cascade
from worker.core.audio.loudness import k_weighting

BUTTERWORTH = signal.butter(6, [200, 4000], "bandpass", fs=48_000, output="sos")


@pytest.mark.parametrize("sections", [k_weighting(), BUTTERWORTH], ids=["k", "bandpass"])
def test_it_equals_a_sample_by_sample_filter_over_many_blocks(sections):
    rng = np.random.default_rng(7)
    sound = rng.standard_normal((3, 960 * 50))
    expected = signal.sosfilt(sections, sound, axis=-1)
    cascade = Cascade(np.asarray(sections))
    state = np.zeros((3, cascade.order))

    pieces = []
    for start in range(0, sound.shape[1], 960):
        piece, state = cascade.process(sound[:, start : start + 960], state)
        pieces.append(piece)

    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, rtol=0, atol=1e-9)


def test_rows_do_not_touch_each_other():
    cascade = Cascade(k_weighting(), block=FRAME)
    sound = np.zeros((2, FRAME * 3))
    sound[0, 0] = 1

    filtered, state = cascade.process(sound, np.zeros((2, cascade.order)))

    assert filtered[0].any()
    assert not filtered[1].any()
    assert not state[1].any()


def test_no_rows_are_no_trouble():
    cascade = Cascade(k_weighting())

    filtered, state = cascade.process(np.zeros((0, 960)), np.zeros((0, cascade.order)))

    assert filtered.shape == (0, 960)
    assert state.shape == (0, cascade.order)
