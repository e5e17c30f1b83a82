from worker.core.audio.packets import CAPACITY, PacketQueue


def queue(*timestamps):
    packets = PacketQueue()
    for timestamp in timestamps:
        packets.push(timestamp, str(timestamp).encode())
    return packets


def drain(packets):
    out = []
    while packets.first() is not None:
        out.append((packets.first(), packets.pop()))
    return out


def test_packets_come_out_by_timestamp_whatever_order_they_went_in():
    assert drain(queue(960, 0, 2880, 1920)) == [
        (0, b"0"),
        (960, b"960"),
        (1920, b"1920"),
        (2880, b"2880"),
    ]


def test_the_first_of_two_with_one_timestamp_stays():
    packets = queue(0, 960)
    packets.push(0, b"again")

    assert packets.duplicated == 1
    assert packets.peek() == b"0"


def test_more_than_six_seconds_cost_the_oldest():
    packets = queue(*range(0, 288_001, 960))
    assert (len(packets), packets.dropped) == (301, 0)

    packets.push(289_920, b"")

    assert (packets.first(), packets.dropped) == (1920, 2)


def test_more_packets_than_six_seconds_can_hold_cost_the_oldest():
    packets = queue(*range(CAPACITY + 5))

    assert (len(packets), packets.first(), packets.dropped) == (CAPACITY, 5, 5)


def test_packets_before_a_timestamp_can_be_dropped():
    packets = queue(0, 960, 1920)

    assert packets.drop_before(960) == 1
    assert packets.drop_before(961) == 1
    assert packets.first() == 1920
