from worker.core.timing import NS_PER_MS
from worker.rooms.receive.nack import NEVER_NS, MissingPackets

MS = NS_PER_MS


def missing() -> MissingPackets:
    return MissingPackets(wants_requests=True, give_up_ns=450 * MS)


def test_a_reordered_packet_is_never_asked_for() -> None:
    packets = missing()
    packets.notice(7, 8, 0)
    assert packets.due(4 * MS) == []
    assert not packets.arrived(7, 4 * MS)
    assert packets.due(50 * MS) == []
    assert len(packets) == 0


def test_a_missing_packet_is_asked_for_after_the_guard_and_every_forty_ms() -> None:
    packets = missing()
    packets.notice(7, 9, 0)
    asked = [now for now in range(0, 200) if packets.due(now * MS)]
    assert asked == [5, 45, 85, 125, 165]


def test_later_gaps_keep_their_own_time() -> None:
    packets = missing()
    packets.notice(7, 8, 0)
    packets.notice(9, 10, 20 * MS)
    assert packets.due(5 * MS) == [7]
    assert packets.due(25 * MS) == [9]
    assert packets.due(45 * MS) == [7]


def test_a_long_round_trip_stretches_the_interval() -> None:
    packets = missing()
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    assert packets.arrived(1, 105 * MS), "it had been asked for"
    packets.notice(3, 4, 200 * MS)
    asked = [now for now in range(200, 420) if packets.due(now * MS)]
    assert asked == [205, 305, 405]


def test_an_answer_to_one_of_several_requests_says_nothing_about_the_round_trip() -> None:
    packets = missing()
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    packets.due(45 * MS)
    packets.arrived(1, 300 * MS)
    packets.notice(3, 4, 400 * MS)
    assert packets.due(405 * MS) == [3]
    assert packets.due(445 * MS) == [3]


def test_packets_are_overdue_at_the_deadline_oldest_first() -> None:
    packets = missing()
    packets.notice(1, 3, 0)
    packets.notice(5, 6, 100 * MS)
    assert packets.deadline_ns() == 450 * MS
    assert packets.overdue(449 * MS) == []
    assert packets.overdue(450 * MS) == [1, 2]
    assert packets.forget_before(3) == 2
    assert packets.deadline_ns() == 550 * MS
    assert packets.forget_before(100) == 1
    assert packets.deadline_ns() == NEVER_NS


def test_too_large_a_gap_is_not_noted() -> None:
    packets = missing()
    assert packets.notice(0, 512, 0)
    assert not packets.notice(600, 601, 0)
    assert len(packets) == 512


def test_without_nack_nothing_is_asked_for_but_waiting_still_ends() -> None:
    packets = MissingPackets(wants_requests=False, give_up_ns=450 * MS)
    packets.notice(1, 2, 0)
    assert packets.due(100 * MS) == []
    assert packets.overdue(450 * MS) == [1]
