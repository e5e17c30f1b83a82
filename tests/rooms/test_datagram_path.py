"""The per-packet path with stand-ins for ICE and libsrtp: what is taken, dropped and counted."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms import datagrams
from worker.rooms.datagrams import (
    CHECKS_PER_S,
    DTLS_BURST_S,
    DTLS_PER_S,
    MAX_EARLY_DATAGRAMS,
    MAX_PENDING_DTLS,
    MAX_SSRCS,
    PACKETS_PER_S,
    DatagramPath,
)

THEM = ("192.0.2.1", 5000)
STRANGER = ("192.0.2.66", 666)
DTLS = b"\x16\xfe\xfd" + bytes(20)
CHECK = b"\0\1" + bytes(18) + b"\0\6\0\7us:them"


class FakeIce:
    def __init__(self) -> None:
        self.dtls: list[bytes] = []
        self.is_full = False

    def is_validated(self, address: tuple[str, int]) -> bool:
        return address == THEM

    def is_candidate(self, address: tuple[str, int]) -> bool:
        return address in (THEM, ("192.0.2.2", 1))

    def pending_dtls(self) -> int:
        return len(self.dtls)

    def is_named_in(self, request: bytes) -> bool:
        return b"us:" in request

    def has_room_for(self, address: tuple[str, int]) -> bool:
        return not self.is_full

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
        self.protocol: Any = SimpleNamespace(transactions={b"we asked it.": None})
        self.path = DatagramPath(
            self.ice,
            clock_ns=lambda: self.now_ns,
            on_rtp=lambda packet, arrival_ns: self.rtp.append((packet, arrival_ns)),
            on_rtcp=lambda packet, arrival_ns: self.rtcp.append(packet),
        )

    def receive(self, datagram: bytes, address: Any = THEM) -> None:
        self.path.receive(self.protocol, datagram, address)

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


def test_reports_of_ever_new_ssrcs_do_not_pile_up_contexts() -> None:
    bench = Bench().open()
    for ssrc in range(2 * MAX_SSRCS):
        bench.receive(b"\x81\xc9\0\1" + ssrc.to_bytes(4, "big") + b"\0\0\0\0!")
    assert len(bench.rtcp) == MAX_SSRCS
    assert bench.path.counters.over_limit == MAX_SSRCS


def test_a_handler_that_fails_costs_one_packet(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench().open()
    bench.path._on_rtp = lambda packet, arrival_ns: 1 // 0  # type: ignore[assignment,return-value]
    bench.receive(rtp())
    bench.receive(rtp())
    assert bench.path.counters.faults == 2
    assert len(caplog.records) == 1, "the first one is explained, the rest counted"


def test_a_gate_says_what_of_its_ssrc_is_decrypted_and_when() -> None:
    bench = Bench().open()
    kept: list[tuple[bytes, int]] = []

    def gate(datagram: bytes, arrival_ns: int) -> Sequence[tuple[bytes, int]]:
        kept.append((datagram, arrival_ns))
        return kept if len(kept) == 3 else ()

    bench.path.gates = {b"\0\0\0\1": gate}
    for bench.now_ns in range(3):
        assert bench.rtp == []
        bench.receive(rtp())
    bench.receive(rtp(ssrc=2))
    assert bench.rtp == [(rtp()[:-1], 0), (rtp()[:-1], 1), (rtp()[:-1], 2), (rtp(2)[:-1], 2)]
    bench.receive(rtp())
    bench.receive(b"\x81\xc9\0\1\0\0\0\1\0\0\0\0!")
    assert (len(bench.rtp), len(bench.rtcp)) == (4, 1), "reports pass"


def test_of_what_a_gate_lets_out_a_handler_that_fails_costs_one_packet() -> None:
    bench = Bench().open()
    bench.path.gates = {b"\0\0\0\1": lambda datagram, _: [(datagram, at) for at in range(5)]}
    bench.path._on_rtp = lambda packet, arrival_ns: bench.rtp.append((packet, 6 // arrival_ns))
    bench.receive(rtp())
    assert [at for _, at in bench.rtp] == [6, 3, 2, 1]
    assert bench.path.counters.faults == 1


def test_stun_that_the_library_chokes_on_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    def choke(*_: object) -> None:
        raise KeyError("PRIORITY")

    monkeypatch.setattr(datagrams, "feed_stun", choke)
    bench = Bench()
    bench.receive(CHECK)
    assert bench.path.counters.faults == 1


@pytest.fixture
def stun(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What aioice is given."""
    fed: list[bytes] = []
    monkeypatch.setattr(
        datagrams, "feed_stun", lambda protocol, datagram, address: fed.append(datagram)
    )
    return fed


def test_checks_that_name_us_and_answers_we_wait_for_reach_the_library(stun: list[bytes]) -> None:
    bench = Bench()
    for kind in (b"\1\1", b"\1\x11"):
        bench.receive(kind + bytes(6) + b"we asked it." + bytes(8), STRANGER)
    bench.receive(CHECK, STRANGER)
    assert len(stun) == 3


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (b"\0", "malformed"),
        (b"\0\1" + bytes(17), "malformed"),
        (b"\0\1" + bytes(40), "stray"),
        (b"\0\1" + bytes(18) + b"\0\6\0\7them:us", "stray"),
        (b"\1\1" + bytes(6) + b"never asked." + bytes(8), "stray"),
        (b"\0\x11" + bytes(18) + b"\0\6\0\7us:them", "stray"),  # an indication
        (b"\0\3" + bytes(18) + b"\0\6\0\7us:them", "stray"),  # TURN: an allocation
    ],
)
def test_stun_of_strangers_is_not_even_parsed(
    stun: list[bytes], datagram: bytes, counter: str
) -> None:
    bench = Bench()
    bench.receive(datagram, STRANGER)
    assert getattr(bench.path.counters, counter) == 1
    assert stun == []


def test_checks_in_masses_are_dropped(stun: list[bytes]) -> None:
    bench = Bench()
    for index in range(10_000):
        bench.now_ns = index * NS_PER_MS
        bench.receive(CHECK)
    assert 10 * CHECKS_PER_S <= len(stun) <= 12 * CHECKS_PER_S
    assert bench.path.counters.over_budget == 10_000 - len(stun)


def test_no_more_addresses_are_learnt_than_there_is_room_for(stun: list[bytes]) -> None:
    bench = Bench()
    bench.ice.is_full = True
    bench.receive(CHECK, STRANGER)
    assert (stun, bench.path.counters.over_limit) == ([], 1)


def test_dtls_in_masses_is_dropped() -> None:
    bench = Bench().open()
    taken = 0
    for index in range(20_000):
        bench.now_ns = index * NS_PER_MS
        bench.receive(DTLS)
        taken += len(bench.ice.dtls)
        bench.ice.dtls.clear()
    assert 20 * DTLS_PER_S <= taken <= (20 + DTLS_BURST_S) * DTLS_PER_S + 1


@pytest.mark.parametrize("tracks", [1, 2, 7])
def test_more_packets_than_so_many_tracks_need_are_dropped_unread(tracks: int) -> None:
    bench = Bench().open()
    bench.path.expect(tracks)
    for index in range(100_000):
        bench.now_ns = index * NS_PER_S // 50_000
        bench.receive(rtp())
    assert len(bench.rtp) == pytest.approx(3 * PACKETS_PER_S * tracks, rel=0.01)
    assert bench.path.counters.over_budget == 100_000 - len(bench.rtp)
    assert bench.path.counters.faults == 0


def test_a_second_of_packets_held_up_on_the_way_is_taken_whole() -> None:
    bench = Bench().open()
    bench.path.expect(2)
    for _ in range(2 * PACKETS_PER_S):
        bench.receive(rtp())
    assert bench.path.counters.over_budget == 0


def test_the_arrival_told_by_the_reader_is_kept() -> None:
    bench = Bench()
    bench.path.receive(bench.protocol, rtp(), THEM, 5)
    bench.open().path.receive(bench.protocol, rtp(), THEM, 7)
    assert [arrival_ns for _, arrival_ns in bench.rtp] == [5, 7]


def test_a_closed_path_delivers_nothing() -> None:
    bench = Bench()
    bench.receive(rtp())
    bench.path.close()
    bench.open().receive(rtp())
    assert bench.rtp == []
