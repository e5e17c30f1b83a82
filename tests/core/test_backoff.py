import random

from worker.core.backoff import Backoff


def test_delays_double_from_a_fifth_of_a_second_to_five_and_start_over_after_success() -> None:
    random.seed(1)
    backoff = Backoff()
    expected = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for nominal in expected:
        assert 0.8 * nominal <= backoff.next_s() <= 1.2 * nominal
    backoff.reset()
    assert backoff.next_s() <= 0.24
