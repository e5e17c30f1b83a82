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


def test_a_round_trip_longer_than_the_interval_is_learnt_from_the_first_request() -> None:
    packets = missing()
    packets.notice(1, 2, 0)
    asked = [now for now in range(145) if packets.due(now * MS)]
    assert asked == [5, 45, 85, 125]
    packets.arrived(1, 145 * MS)
    packets.notice(3, 4, 400 * MS)
    assert [now for now in range(400, 850) if packets.due(now * MS)] == [405, 545, 685]


def test_a_round_trip_near_the_deadline_is_met_by_asking_early_and_often() -> None:
    packets = missing()
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    packets.arrived(1, 355 * MS)
    packets.notice(3, 4, 400 * MS)
    assert [now for now in range(400, 850) if packets.due(now * MS)] == [405, 455, 505]


def test_with_more_time_requests_are_a_round_trip_apart() -> None:
    packets = missing()
    packets.give_up_ns = 1350 * MS
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    packets.arrived(1, 405 * MS)
    packets.notice(3, 4, 1000 * MS)
    assert [now for now in range(1000, 2400) if packets.due(now * MS)] == [1005, 1405, 1805]


def test_lost_requests_do_not_move_the_estimate() -> None:
    packets = missing()
    for sequence, answered_ms in ((1, 60), (3, 220), (5, 220)):
        began_ms = sequence * 1000
        packets.notice(sequence, sequence + 1, began_ms * MS)
        packets.due((began_ms + 5) * MS)
        packets.arrived(sequence, (began_ms + 5 + answered_ms) * MS)
    assert packets.round_trip_ns == 60 * MS


def test_a_path_that_became_longer_is_noticed() -> None:
    packets = missing()
    for sequence in range(1, 36, 2):
        answered_ms = 60 if sequence == 1 else 200
        packets.notice(sequence, sequence + 1, sequence * 1000 * MS)
        packets.due((sequence * 1000 + 5) * MS)
        packets.arrived(sequence, (sequence * 1000 + 5 + answered_ms) * MS)
    assert packets.round_trip_ns == 200 * MS


def test_with_rtx_a_late_original_is_no_answer() -> None:
    packets = missing()
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    assert packets.arrived(1, 65 * MS, is_retransmission=True)
    packets.notice(3, 4, 1000 * MS)
    packets.due(1005 * MS)
    assert not packets.arrived(3, 1015 * MS), "asked for, but it had only been overtaken"
    assert packets.round_trip_ns == 60 * MS


def test_what_is_asked_for_in_vain_becomes_hopeless_long_before_it_is_given_up() -> None:
    packets = missing()
    assert not packets.is_hopeless(0)
    packets.notice(1, 2, 0)
    assert not packets.is_hopeless(249 * MS)
    assert packets.is_hopeless(250 * MS)
    assert packets.overdue(250 * MS) == []


def test_on_a_long_round_trip_an_answer_is_given_its_time() -> None:
    packets = missing()
    packets.give_up_ns = 1350 * MS
    packets.notice(1, 2, 0)
    packets.due(5 * MS)
    packets.arrived(1, 405 * MS)
    packets.notice(3, 4, 1000 * MS)
    assert not packets.is_hopeless(1999 * MS)
    assert packets.is_hopeless(2000 * MS)


def test_what_nobody_can_be_asked_for_is_hopeless_once_it_is_not_merely_overtaken() -> None:
    packets = MissingPackets(wants_requests=False, give_up_ns=450 * MS)
    packets.notice(1, 2, 0)
    assert not packets.is_hopeless(59 * MS)
    assert packets.is_hopeless(60 * MS)


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
