"""What a video lane spares that is behind."""

from worker.core.stepdown import ALL, STEPS, step_down
from worker.core.timing import NS_PER_MS, NS_PER_S


def new_per_s(lag_s: float) -> int:
    step = step_down(round(lag_s * NS_PER_S))
    return sum(step.is_new(tick) for tick in range(30))


def test_up_to_a_second_behind_everything_is_composed():
    assert step_down(-5 * NS_PER_MS) == step_down(NS_PER_S) == ALL
    assert new_per_s(1.0) == 30


def test_the_further_behind_the_less_is_composed_but_never_nothing():
    rates = [new_per_s(lag_s) for lag_s in (0, 1.1, 2.1, 4.1, 3600)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 2


def test_far_behind_what_is_not_composed_is_not_encoded_either():
    """Encoding a repetition takes half the time of a new frame: the lag would still grow."""
    assert step_down(round(1.5 * NS_PER_S)).repeats
    assert not any(step_down(lag_ns + 1).repeats for lag_ns, _ in STEPS if lag_ns >= 2 * NS_PER_S)
