import pytest

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.testroom.faults import Impairment, NetworkFaults

PACKETS = 5000
INTERVAL_NS = 10 * NS_PER_MS


def send(faults: NetworkFaults, packets: int = PACKETS, seed: str = "1") -> list[tuple[int, ...]]:
    path = Impairment(faults, seed, start_ns=0)
    return [path.arrivals(number * INTERVAL_NS) for number in range(packets)]


def delays_ms(arrivals: list[tuple[int, ...]]) -> list[float]:
    return [
        (each[0] - number * INTERVAL_NS) / NS_PER_MS for number, each in enumerate(arrivals) if each
    ]


def test_a_good_network_delivers_everything_at_once():
    assert send(NetworkFaults(), 3) == [(0,), (INTERVAL_NS,), (2 * INTERVAL_NS,)]


def test_delay_is_added_to_every_packet():
    assert delays_ms(send(NetworkFaults(delay_ms=35.5), 3)) == [35.5, 35.5, 35.5]


def test_loss_hits_the_asked_share_of_packets():
    lost = send(NetworkFaults(loss=0.05)).count(())

    assert 0.04 < lost / PACKETS < 0.06


def test_the_same_seed_loses_the_same_packets_and_another_does_not():
    faults = NetworkFaults(loss=0.1, jitter_ms=20, reorder=0.05, duplicate=0.05)

    assert send(faults) == send(faults)
    assert send(faults) != send(faults, seed="2")


def test_a_burst_loses_everything_at_the_end_of_each_period():
    arrivals = send(NetworkFaults(burst_ms=500, burst_every_s=2), packets=400)
    lost_ms = [number * 10 for number, each in enumerate(arrivals) if not each]

    assert lost_ms == [*range(1500, 2000, 10), *range(3500, 4000, 10)]


def test_jitter_varies_the_delay_up_to_its_limit_and_keeps_the_order():
    arrivals = send(NetworkFaults(delay_ms=20, jitter_ms=100))
    delays = delays_ms(arrivals)
    instants = [each[0] for each in arrivals]

    assert min(delays) >= 20
    assert max(delays) <= 120
    assert max(delays) - min(delays) > 80
    assert instants == sorted(instants)


def test_reordered_packets_come_after_later_ones():
    instants = [each[0] for each in send(NetworkFaults(reorder=0.1))]
    overtaken = sum(later < earlier for earlier, later in zip(instants, instants[1:], strict=False))

    assert 0.06 < overtaken / PACKETS < 0.12


def test_duplicated_packets_arrive_twice():
    twice = [each for each in send(NetworkFaults(duplicate=0.1)) if len(each) == 2]

    assert 0.08 < len(twice) / PACKETS < 0.12
    assert all(second > first for first, second in twice)


def test_faults_may_change_while_packets_flow():
    path = Impairment(NetworkFaults(loss=1.0), "1", start_ns=0)
    assert path.arrivals(0) == ()

    path.faults = NetworkFaults()

    assert path.arrivals(NS_PER_S) == (NS_PER_S,)


def test_retransmissions_are_lost_like_packets_but_do_not_hold_up_later_ones():
    path = Impairment(NetworkFaults(loss=0.5, delay_ms=10), "1", start_ns=0)
    answers = [path.retransmitted(NS_PER_S) for _ in range(1000)]

    assert 400 < answers.count(None) < 600
    assert set(answers) - {None} == {NS_PER_S + 10 * NS_PER_MS}
    path.faults = NetworkFaults()
    assert path.arrivals(0) == (0,)


def test_a_round_trip_is_twice_the_mean_delay():
    path = Impairment(NetworkFaults(delay_ms=30, jitter_ms=20), "1", start_ns=0)

    assert path.round_trip_ns == pytest.approx(80 * NS_PER_MS)
