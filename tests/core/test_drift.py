import pytest

from worker.core.drift import MAX_CORRECTION, correction


@pytest.mark.parametrize("error", [0, 1, -1, 47.9, -47.9])
def test_within_a_millisecond_nothing_is_corrected(error):
    assert correction(error) == 0


@pytest.mark.parametrize(
    ("error", "samples"),
    [(48, 1), (60, 1), (72, 2), (200, 7), (240, 8), (9600, 8)],
)
def test_larger_errors_take_more_samples_up_to_eight(error, samples):
    assert correction(error) == samples
    assert correction(-error) == -samples


@pytest.mark.parametrize("ppm", [-600, -200, 200, 600])
def test_a_steady_drift_settles_within_two_milliseconds(ppm):
    error, taken = 0.0, []
    for _ in range(5000):
        error += 960 * ppm * 1e-6
        taken.append(correction(error))
        error -= taken[-1]

    assert abs(error) < 96
    assert max(map(abs, taken)) == 1
    assert sum(taken) == pytest.approx(5000 * 960 * ppm * 1e-6, abs=60)


def test_a_large_error_is_gone_after_a_few_seconds_without_overshoot():
    error = 4800.0
    for _ in range(700):
        step = correction(error)
        assert 0 <= step <= MAX_CORRECTION
        error -= step

    assert 0 <= error < 48
