import pytest

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.receive.timeline import Timeline


def timeline() -> Timeline:
    return Timeline(epoch=3, clock_hz=48_000)


def test_the_wrap_at_two_to_the_thirty_second_is_invisible() -> None:
    line = timeline()
    first = 2**32 - 960
    placed = [
        line.place((first + index * 960) % 2**32, index * 20 * NS_PER_MS, is_newest=True)
        for index in range(4)
    ]
    assert placed == [first, first + 960, first + 1920, first + 2880]
    assert line.epoch == 3


@pytest.mark.parametrize("step_s", [10, -10, 3600, -3600, 1.1, -1.1])
def test_a_jump_of_the_senders_clock_starts_an_epoch(step_s: float) -> None:
    line = timeline()
    line.place(10_000_000, 0, is_newest=True)
    after = int(10_000_000 + step_s * 48_000) % 2**32
    assert line.place(after, 20 * NS_PER_MS, is_newest=True) == after
    assert line.epoch == 4


def test_silence_is_no_jump() -> None:
    line = timeline()
    line.place(1000, 0, is_newest=True)
    pause_s = 40
    placed = line.place(1000 + pause_s * 48_000, pause_s * NS_PER_S, is_newest=True)
    assert placed == 1000 + pause_s * 48_000
    assert line.epoch == 3


def test_a_network_that_stalls_and_catches_up_is_no_jump() -> None:
    line = timeline()
    line.place(1000, 0, is_newest=True)
    for index in range(1, 100):
        assert line.place(1000 + 960 * index, 2 * NS_PER_S, is_newest=True) == 1000 + 960 * index
    assert line.epoch == 3


def test_a_late_packet_is_placed_before_the_newest() -> None:
    line = timeline()
    line.place(10_000, 0, is_newest=True)
    line.place(12_000, NS_PER_MS, is_newest=True)
    assert line.place(11_000, 2 * NS_PER_MS, is_newest=False) == 11_000
    assert line.place(13_000, 3 * NS_PER_MS, is_newest=True) == 13_000


def test_a_late_packet_from_before_a_jump_has_no_place() -> None:
    line = timeline()
    line.place(10_000_000, 0, is_newest=True)
    line.place(1_000, NS_PER_MS, is_newest=True)
    assert line.place(10_000_960, 2 * NS_PER_MS, is_newest=False) is None
    assert line.epoch == 4


def test_a_sender_report_is_located_near_the_media_or_not_at_all() -> None:
    line = timeline()
    assert line.locate(5, 0) is None
    first = 2**32 - 100
    line.place(first, 0, is_newest=True)
    assert line.locate(4700, 100 * NS_PER_MS) == first + 4800
    assert line.locate(10 * 48_000, 10 * NS_PER_S) == first + 10 * 48_000 + 100
    assert line.locate(10 * 48_000, 100 * NS_PER_MS) is None
