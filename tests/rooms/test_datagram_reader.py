"""Batched reading on real sockets of 127.0.0.1; what is clock is injected."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms import reader
from worker.rooms.datagrams import MAX_DATAGRAM_BYTES
from worker.rooms.reader import (
    CALM_INTERVAL_S,
    FULL_INTERVAL_S,
    READ_INTERVAL_S,
    DatagramReader,
)
from worker.rooms.recvmmsg import BATCH_DATAGRAMS

Received = list[tuple[bytes, Any, int]]


class Bench:
    """A reader with clocks that stand still, and sockets on loopback."""

    def __init__(self, stack: ExitStack) -> None:
        self.now_ns = 500 * NS_PER_S
        self.wall_ns = time.time_ns()
        self.dropped = 0
        self.reader = DatagramReader(clock_ns=lambda: self.now_ns, wall_ns=lambda: self.wall_ns)
        self._stack = stack
        stack.callback(self.reader.close)
        self.sender = self.open()

    def open(self, address: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp = self._stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.setblocking(False)
        udp.bind((address, 0))
        return udp

    def listen(self, address: str = "127.0.0.1") -> tuple[socket.socket, Received]:
        udp = self.open(address)
        received: Received = []
        self.reader.add(udp, lambda *datagram: received.append(datagram), self._count)
        return udp, received

    def send(self, data: bytes, target: socket.socket) -> None:
        self.sender.sendto(data, target.getsockname())

    def _count(self, dropped: int) -> None:
        self.dropped += dropped


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


@pytest.fixture
def small_share(monkeypatch: pytest.MonkeyPatch) -> int:
    """What a socket may have per tick, made to fit into a buffer of the usual size."""
    monkeypatch.setattr(reader, "BATCHES_PER_TICK", 2)
    return 2 * BATCH_DATAGRAMS


def test_datagrams_come_in_order_with_their_sender(bench: Bench) -> None:
    one, ones = bench.listen()
    other, others = bench.listen()
    for number in range(5):
        bench.send(bytes([number]), one)
    bench.send(b"", other)
    bench.reader.read()
    assert [data for data, _, _ in ones] == [bytes([number]) for number in range(5)]
    assert {address for _, address, _ in ones} == {bench.sender.getsockname()}
    assert [data for data, _, _ in others] == [b""]
    bench.reader.read()
    assert len(ones) == 5


def test_the_sender_is_named_as_asyncio_names_it(bench: Bench) -> None:
    plain = bench.open("::1")
    batched, received = bench.listen("::1")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        for target in (plain, batched):
            sender.sendto(b"x", target.getsockname())
    bench.reader.read()
    assert [received[0][:2]] == [plain.recvfrom(10)]


@pytest.mark.parametrize(
    ("per_s", "expected_s"),
    [(0, CALM_INTERVAL_S), (1400, CALM_INTERVAL_S), (1600, FULL_INTERVAL_S)],
)
def test_a_socket_that_brings_much_is_read_more_often_in_a_calm_room(
    bench: Bench, per_s: int, expected_s: float
) -> None:
    udp, received = bench.listen()
    other, _ = bench.listen()
    for _ in range(per_s // 25):
        bench.send(b"x", udp)
        bench.send(b"x", other)
    bench.now_ns += NS_PER_S // 25
    bench.reader.read()
    assert len(received) == per_s // 25
    assert bench.reader.pause_s(is_calm=True) == expected_s
    assert bench.reader.pause_s(is_calm=False) == READ_INTERVAL_S


def test_a_socket_that_brought_much_is_forgotten_when_it_brings_little(bench: Bench) -> None:
    udp, _ = bench.listen()
    for _ in range(100):
        bench.send(b"x", udp)
    for expected_s in (FULL_INTERVAL_S, CALM_INTERVAL_S):
        bench.now_ns += NS_PER_S // 25
        bench.reader.read()
        assert bench.reader.pause_s(is_calm=True) == expected_s


def test_arrival_is_when_it_came_not_when_it_was_read(bench: Bench) -> None:
    udp, received = bench.listen()
    before_ns = time.time_ns()
    bench.send(b"x", udp)
    after_ns = time.time_ns()
    bench.wall_ns += 700 * NS_PER_MS  # the loop was held up this long
    bench.now_ns += 700 * NS_PER_MS
    bench.reader.read()
    ((_, _, arrival_ns),) = received
    came_ns = arrival_ns - bench.now_ns + bench.wall_ns
    assert before_ns <= came_ns <= after_ns


@pytest.mark.parametrize("step_ns", [-3600 * NS_PER_S, 2 * NS_PER_MS, 3600 * NS_PER_S])
def test_stamps_of_a_wall_clock_that_was_set_are_not_believed(bench: Bench, step_ns: int) -> None:
    udp, received = bench.listen()
    bench.send(b"x", udp)
    bench.wall_ns += step_ns
    bench.reader.read()
    bench.send(b"y", udp)
    bench.reader.read()
    first, second = (arrival_ns for _, _, arrival_ns in received)
    assert first == bench.now_ns
    assert second != bench.now_ns, "the next ones are believed again"


def test_a_datagram_too_long_for_us_stays_too_long(bench: Bench) -> None:
    udp, received = bench.listen()
    bench.send(bytes(60_000), udp)
    bench.send(b"next", udp)
    bench.reader.read()
    assert len(received[0][0]) > MAX_DATAGRAM_BYTES
    assert received[1][0] == b"next"


def test_a_flooded_socket_gets_its_share_and_the_others_theirs(
    bench: Bench, small_share: int
) -> None:
    flooded, flood = bench.listen()
    quiet, few = bench.listen()
    for number in range(small_share + 5):
        bench.send(number.to_bytes(2, "big"), flooded)
    bench.send(b"x", quiet)
    bench.reader.read()
    assert (len(flood), len(few)) == (small_share, 1)
    bench.reader.read()
    assert [int.from_bytes(data, "big") for data, _, _ in flood] == list(range(small_share + 5))


def test_after_a_break_a_socket_gets_more_at_once(bench: Bench, small_share: int) -> None:
    udp, received = bench.listen()
    for _ in range(small_share + 5):
        bench.send(b"", udp)
    bench.now_ns += 30 * NS_PER_MS
    bench.wall_ns += 30 * NS_PER_MS
    bench.reader.read()
    assert len(received) == small_share + 5


def test_what_the_kernel_had_to_drop_is_counted(bench: Bench) -> None:
    udp, received = bench.listen()
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(2):
        for _ in range(200):
            bench.send(bytes(1000), udp)
        bench.reader.read()
        bench.send(b"tells how many went before it", udp)
        bench.reader.read()
    assert 0 < len(received) < 400
    assert bench.dropped == bench.reader.overflowed == 402 - len(received)


def test_a_socket_that_was_ended_is_not_read(bench: Bench) -> None:
    udp = bench.open()
    received: Received = []
    end = bench.reader.add(udp, lambda *datagram: received.append(datagram), lambda dropped: None)
    bench.send(b"x", udp)
    end()
    end()
    bench.reader.read()
    assert received == []


def test_ending_a_closed_socket_late_spares_the_one_that_has_its_number_now(bench: Bench) -> None:
    stale = bench.open()
    end = bench.reader.add(stale, lambda *datagram: None, lambda dropped: None)
    number = stale.fileno()
    stale.close()
    udp, received = bench.listen()
    assert udp.fileno() == number
    end()
    bench.send(b"x", udp)
    bench.reader.read()
    assert len(received) == 1


def test_a_handler_may_end_sockets_and_close_the_reader(bench: Bench) -> None:
    for _ in range(2):
        udp = bench.open()
        bench.reader.add(udp, lambda *datagram: bench.reader.close(), lambda dropped: None)
        bench.send(b"x", udp)
    bench.reader.read()
    bench.reader.read()
