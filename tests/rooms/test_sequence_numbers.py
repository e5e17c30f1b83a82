from hypothesis import given
from hypothesis import strategies as st

from worker.rooms.receive.sequence import SequenceNumbers


def feed(numbers: SequenceNumbers, sequences: list[int]) -> list[int | None]:
    unwrapped = []
    for sequence in sequences:
        number = numbers.follow(sequence)
        if number is not None:
            numbers.accept(number)
        unwrapped.append(number)
    return unwrapped


def test_numbers_go_on_over_the_wrap_in_both_directions() -> None:
    numbers = SequenceNumbers(65534)
    assert feed(numbers, [65534, 65535, 1, 0, 2]) == [65534, 65535, 65537, 65536, 65538]
    assert numbers.newest == 65538


@given(st.integers(0, 65535), st.lists(st.integers(1, 3000), max_size=100))
def test_any_loss_within_reach_is_followed(first: int, steps: list[int]) -> None:
    truth = [first]
    for step in steps:
        truth.append(truth[-1] + step)
    numbers = SequenceNumbers(first)
    assert feed(numbers, [number % 65536 for number in truth]) == truth
    assert not numbers.has_restarted


def test_a_second_copy_is_not_accepted() -> None:
    numbers = SequenceNumbers(10)
    assert numbers.accept(10)
    assert numbers.accept(12)
    assert not numbers.accept(10)
    assert numbers.accept(11)


def test_one_wild_packet_changes_nothing_two_in_a_row_are_a_restart() -> None:
    numbers = SequenceNumbers(100)
    assert feed(numbers, [100, 101, 30000, 102]) == [100, 101, None, 102]
    assert not numbers.has_restarted
    assert feed(numbers, [30001]) == [None]
    assert not numbers.has_restarted, "not in a row"
    assert feed(numbers, [30002]) == [None]
    assert numbers.has_restarted


def test_a_packet_that_comes_a_thousand_late_still_has_its_place() -> None:
    numbers = SequenceNumbers(5000)
    assert feed(numbers, [5000, 4000, 3999]) == [5000, 4000, None]
