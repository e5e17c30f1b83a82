from worker.core.identity import UserId
from worker.core.timing import NS_PER_S
from worker.testroom.person import Person
from worker.testroom.scenario import Actor
from worker.testroom.sender_clock import SenderClock


def clock(**changes: float) -> SenderClock:
    return SenderClock.of(Actor(UserId("ada"), Person(0, "Ada"), **changes), seed=1)


def test_it_reads_the_offset_at_the_first_join():
    assert clock(join_s=2, start_offset_s=0.25).reading_ns(2 * NS_PER_S) == NS_PER_S // 4


def test_a_fast_clock_gains_its_parts_per_million():
    fast = clock(clock_ppm=200)

    assert fast.reading_ns(1000 * NS_PER_S) == 1000 * NS_PER_S + 200_000_000
    assert fast.instant_ns(1000 * NS_PER_S + 200_000_000) == 1000 * NS_PER_S


def test_a_slow_clock_loses_them():
    assert clock(clock_ppm=-200).reading_ns(1000 * NS_PER_S) == 1000 * NS_PER_S - 200_000_000


def test_instant_is_the_first_at_which_the_clock_shows_a_reading():
    for ppm in (-333.3, 0, 17.5, 1000):
        skewed = clock(clock_ppm=ppm, join_s=1.1, start_offset_s=0.7)
        for reading_ns in range(700_000_000, 3 * NS_PER_S, 33_333_331):
            instant_ns = skewed.instant_ns(reading_ns)

            assert skewed.reading_ns(instant_ns) >= reading_ns
            assert skewed.reading_ns(instant_ns - 1) < reading_ns


def test_wall_clocks_of_two_senders_disagree():
    other = SenderClock.of(Actor(UserId("bob"), Person(1, "Bob")), seed=1)

    assert other.wall_ns(0) != clock().wall_ns(0)
