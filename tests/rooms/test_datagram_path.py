"""The per-packet path with stand-ins for ICE and libsrtp: what is taken, dropped and counted."""

from typing import Any

import pytest

from worker.core.timing import NS_PER_S
from worker.rooms import datagrams
from worker.rooms.datagrams import (
    MAX_EARLY_DATAGRAMS,
    MAX_PENDING_DTLS,
    MAX_SSRCS,
    DatagramPath,
)

THEM = ("192.0.2.1", 5000)
STRANGER = ("192.0.2.66", 666)
DTLS = b"\x16\xfe\xfd" + bytes(20)


class FakeIce:
    def __init__(self) -> None:
        self.dtls: list[bytes] = []

    def is_validated(self, address: tuple[str, int]) -> bool:
        return address == THEM

    def is_candidate(self, address: tuple[str, int]) -> bool:
        return address in (THEM, ("192.0.2.2", 1))

    def pending_dtls(self) -> int:
        return len(self.dtls)

    def feed_dtls(self, datagram: bytes) -> None:
        self.dtls.append(datagram)


class FakeSrtp:
    """Authentic packets end in "!"; the rest is forged."""

    status = 7

    def __init__(self) -> None:
        self.forgotten: list[int] = []

    def rtp(self, packet: bytes) -> bytes | None:
        return packet[:-1] if packet.endswith(b"!") else None

    def rtcp(self, packet: bytes) -> bytes | None:
        return self.rtp(packet)

    def forget(self, ssrc: int) -> None:
        self.forgotten.append(ssrc)


class Bench:
    def __init__(self) -> None:
        self.now_ns = 0
        self.ice: Any = FakeIce()
        self.srtp: Any = FakeSrtp()
        self.rtp: list[tuple[bytes, int]] = []
        self.rtcp: list[bytes] = []
        self.path = DatagramPath(
            self.ice,
            clock_ns=lambda: self.now_ns,
            on_rtp=lambda packet, arrival_ns: self.rtp.append((packet, arrival_ns)),
            on_rtcp=lambda packet, arrival_ns: self.rtcp.append(packet),
        )

    def receive(self, datagram: bytes, address: Any = THEM) -> None:
        protocol: Any = None
        self.path.receive(protocol, datagram, address)

    def open(self) -> "Bench":
        self.path.open(self.srtp)
        return self


def rtp(ssrc: int = 1, ending: bytes = b"!") -> bytes:
    return b"\x80\x60\0\1\0\0\0\0" + ssrc.to_bytes(4, "big") + b"data" + ending


def test_rtp_and_rtcp_are_told_apart_and_decrypted() -> None:
    bench = Bench().open()
    bench.now_ns = 5
    bench.receive(rtp())
    bench.receive(b"\x81\xc9\0\1\0\0\0\1\0\0\0\0!")
    assert bench.rtp == [(rtp()[:-1], 5)]
    assert len(bench.rtcp) == 1
    assert bench.path.last_media_ns == 5


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (b"", "malformed"),
        (b"\x80" + bytes(1500), "malformed"),
        (b"\x80!", "malformed"),
        (b"\x50" * 20, "malformed"),
        (b"\xff" * 20, "malformed"),
        (rtp(ending=b"?"), "unauthentic"),
    ],
)
def test_bad_datagrams_are_counted(datagram: bytes, counter: str) -> None:
    bench = Bench().open()
    bench.receive(datagram)
    assert getattr(bench.path.counters, counter) == 1
    assert bench.rtp == []


def test_strangers_get_neither_media_nor_dtls_through() -> None:
    bench = Bench().open()
    for datagram in (rtp(), DTLS):
        bench.receive(datagram, STRANGER)
    assert bench.path.counters.stray == 2
    assert (bench.rtp, bench.ice.dtls) == ([], [])


def test_an_ipv6_address_with_flow_and_scope_is_recognised() -> None:
    bench = Bench().open()
    bench.receive(rtp(), (*THEM, 0, 0))
    assert len(bench.rtp) == 1


def test_during_the_handshake_a_signalled_address_may_already_speak_dtls() -> None:
    bench = Bench()
    bench.receive(DTLS, ("192.0.2.2", 1))
    assert len(bench.ice.dtls) == 1
    bench.open().receive(DTLS, ("192.0.2.2", 1))
    assert len(bench.ice.dtls) == 1


def test_dtls_that_piles_up_is_dropped() -> None:
    bench = Bench().open()
    for _ in range(MAX_PENDING_DTLS + 5):
        bench.receive(DTLS)
    assert len(bench.ice.dtls) == MAX_PENDING_DTLS
    assert bench.path.counters.over_limit == 5


def test_media_before_the_keys_waits_with_its_true_arrival_in_a_bounded_queue() -> None:
    bench = Bench()
    for index in range(MAX_EARLY_DATAGRAMS + 3):
        bench.now_ns = index
        bench.receive(rtp())
    bench.receive(rtp(), STRANGER)
    assert (bench.path.counters.early, bench.path.counters.stray) == (3, 1)
    bench.open()
    assert [arrival_ns for _, arrival_ns in bench.rtp] == list(range(MAX_EARLY_DATAGRAMS))


def test_only_authentic_packets_use_up_ssrcs_and_idle_ones_make_room() -> None:
    bench = Bench().open()
    for ssrc in range(1000, 1000 + 2 * MAX_SSRCS):
        bench.receive(rtp(ssrc, b"?"))
    for ssrc in range(MAX_SSRCS + 10):
        bench.now_ns = ssrc
        bench.receive(rtp(ssrc))
    assert len(bench.rtp) == MAX_SSRCS
    assert bench.path.counters.over_limit == 10
    bench.now_ns = 11 * NS_PER_S
    bench.receive(rtp(9999))
    assert len(bench.rtp) == MAX_SSRCS + 1
    assert bench.srtp.forgotten == [0]


def test_a_handler_that_fails_costs_one_packet(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench().open()
    bench.path._on_rtp = lambda packet, arrival_ns: 1 // 0  # type: ignore[assignment,return-value]
    bench.receive(rtp())
    bench.receive(rtp())
    assert bench.path.counters.faults == 2
    assert len(caplog.records) == 1, "the first one is explained, the rest counted"


def test_stun_that_the_library_chokes_on_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    def choke(*_: object) -> None:
        raise KeyError("PRIORITY")

    monkeypatch.setattr(datagrams, "feed_stun", choke)
    bench = Bench()
    bench.receive(b"\0\1\0\0" + bytes(16))
    assert bench.path.counters.faults == 1


def test_a_closed_path_delivers_nothing() -> None:
    bench = Bench()
    bench.receive(rtp())
    bench.path.close()
    bench.open().receive(rtp())
    assert bench.rtp == []
