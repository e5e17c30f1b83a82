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


def test_reordered_packets_are_held_back_as_long_as_asked():
    delays = delays_ms(send(NetworkFaults(reorder=0.25, reorder_ms=50)))

    assert set(delays) == {0, 50}
    assert 0.22 < delays.count(50) / PACKETS < 0.28


def test_rtcp_alone_can_be_blocked():
    path = Impairment(NetworkFaults(blocks_rtcp=True), "1", start_ns=0)

    assert path.arrivals(5) == (5,)
    assert path.rtcp_arrivals(5) == ()
