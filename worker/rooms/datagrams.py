"""The per-packet path: a datagram from the socket becomes a plain RTP or RTCP packet.

It stands where aioice would parse every packet as STUN and queue it for a coroutine. Whatever
costs more than a look at a few bytes comes after a check of the sender and of a budget.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aioice.ice import StunProtocol

from worker.core.budget import Budget
from worker.core.timing import NS_PER_S
from worker.rooms.private import SRTP_REPLAYED, IceInternals, InboundSrtp, feed_stun
from worker.rooms.receive.doze import Gate

logger = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 1500
MAX_PENDING_DTLS = 64
MAX_EARLY_DATAGRAMS = 128
"""Media that overtook the last DTLS message; at 1200 bytes each this is 150 kB."""
MAX_SSRCS = 256
"""Decryption contexts kept per transport; each new SSRC of an authentic RTP or RTCP packet makes
one, and libsrtp looks through them all for each packet."""
MAX_REMOTES = 64
SSRC_IDLE_NS = 10 * NS_PER_S
PACKETS_PER_S = 2000
"""Per track for good, and as many at once: 16 Mbit/s in packets of 1000 bytes."""
CHECKS_PER_S = 100
"""Connectivity checks of the other end: one each 20 ms and what it repeats of them."""
DTLS_PER_S = 20
"""A handshake is some ten datagrams; each one may make OpenSSL do public-key work."""
DTLS_BURST_S = 5
STUN_HEADER_BYTES = 20
STUN_REQUEST = b"\0\1"
STUN_ANSWERS = (b"\1\1", b"\1\x11")
"""Type fields of a binding request, and of its success and error answers (RFC 8489, 5)."""

PacketHandler = Callable[[bytes, int], None]
"""Takes a plain packet and its arrival in ns on the peer's clock."""


@dataclass(slots=True)
class PathCounters:
    """What happened to the datagrams of one peer."""

    received: int = 0
    malformed: int = 0
    """Empty, oversized or of no known protocol."""
    stray: int = 0
    """Media or DTLS from an address that is not the other end's."""
    unauthentic: int = 0
    """Failed the SRTP check."""
    replayed: int = 0
    """Second copies, removed by SRTP."""
    early: int = 0
    """Media that came before the keys and did not fit the early queue."""
    over_limit: int = 0
    """Of one SSRC or address too many, or DTLS that piled up."""
    over_budget: int = 0
    """More in a second than the other end can have reason to send."""
    overflowed: int = 0
    """Dropped by the kernel before we could read them; not part of `received`."""
    faults: int = 0
    """Packets whose handling raised; a bug of ours or of a library, contained."""
    sent: int = 0
    unsendable: int = 0
    """Not sent: no pair, no keys, too large, or the socket's buffer is full."""


class DatagramPath:
    """Sorts what arrives at one ICE transport and decrypts its media."""

    def __init__(
        self,
        ice: IceInternals,
        *,
        clock_ns: Callable[[], int],
        on_rtp: PacketHandler,
        on_rtcp: PacketHandler,
    ) -> None:
        self.counters = PathCounters()
        self.last_media_ns: int | None = None
        """Arrival of the newest authentic packet."""
        self.gates: Mapping[bytes, Gate] = {}
        """By SSRC: who says which RTP datagrams are decrypted, and when."""
        self._ice = ice
        self._clock_ns = clock_ns
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._srtp: InboundSrtp | None = None
        self._early: deque[tuple[bytes, int]] = deque()
        self._ssrcs: dict[bytes, int] = {}
        """SSRC to its last arrival."""
        self._full_until_ns = 0
        self._packets = Budget(PACKETS_PER_S, 1)
        self._checks = Budget(CHECKS_PER_S, 2)
        self._dtls_datagrams = Budget(DTLS_PER_S, DTLS_BURST_S)
        self._remotes: set[tuple[Any, ...]] = set()
        self._is_closed = False

    def expect(self, track_count: int) -> None:
        """Allow what so many tracks may send."""
        self._packets = Budget(PACKETS_PER_S * max(1, track_count), 1)

    def note_overflow(self, count: int) -> None:
        """The kernel has dropped *count* more datagrams."""
        self.counters.overflowed += count

    def receive(
        self,
        protocol: StunProtocol,
        datagram: bytes,
        address: tuple[Any, ...],
        arrival_ns: int | None = None,
    ) -> None:
        """Take one datagram, which has arrived just now if nothing else is said.

        Nothing it contains can raise.
        """
        counters = self.counters
        counters.received += 1
        if self._is_closed or not 0 < len(datagram) <= MAX_DATAGRAM_BYTES:
            counters.malformed += 1
            return
        if arrival_ns is None:
            arrival_ns = self._clock_ns()
        try:
            first = datagram[0]
            if 127 < first < 192:
                self._media(datagram, address, arrival_ns)
            elif first < 4:
                self._stun(protocol, datagram, address, arrival_ns)
            elif 19 < first < 64:
                self._dtls(datagram, address, arrival_ns)
            else:
                counters.malformed += 1
        except Exception:  # per-packet boundary: one bad packet must not end the rest
            self._count_fault()

    def open(self, srtp: InboundSrtp) -> None:
        """Start decrypting; media that came early is delivered now with its true arrival."""
        self._srtp = srtp
        while self._early:
            datagram, arrival_ns = self._early.popleft()
            try:
                self._decrypt(srtp, datagram, arrival_ns)
            except Exception:  # the same per-packet boundary
                self.counters.faults += 1

    def close(self) -> None:
        """Deliver nothing any more."""
        self._is_closed = True
        self._srtp = None
        self._early.clear()

    def _is_remote(self, address: tuple[Any, ...]) -> bool:
        """Whether media may come from *address*: the nominated pair's, or a validated one.

        With several good pairs the two ends may prefer different ones (browsers do).
        """
        if address in self._remotes:
            return True
        # IPv6 addresses come with flow and scope behind the port.
        if not self._ice.is_validated((address[0], address[1])):
            return False
        if len(self._remotes) >= MAX_REMOTES:
            self._remotes.clear()
        self._remotes.add(address)
        return True

    def _media(self, datagram: bytes, address: tuple[Any, ...], arrival_ns: int) -> None:
        srtp = self._srtp
        if srtp is None:
            if not self._ice.is_candidate((address[0], address[1])):
                self.counters.stray += 1
            elif len(self._early) >= MAX_EARLY_DATAGRAMS:
                self.counters.early += 1
            else:
                self._early.append((datagram, arrival_ns))
        elif not self._is_remote(address):
            self.counters.stray += 1
        elif not self._packets.take(1, arrival_ns):
            self.counters.over_budget += 1
        else:
            self._decrypt(srtp, datagram, arrival_ns)

    def _decrypt(self, srtp: InboundSrtp, datagram: bytes, arrival_ns: int) -> None:
        if len(datagram) < 12:
            self.counters.malformed += 1
            return
        # RFC 5761 section 4: RTCP packet types 192..223 never collide with marker + type of RTP.
        is_rtcp = 191 < datagram[1] < 224
        ssrc = datagram[4:8] if is_rtcp else datagram[8:12]
        if ssrc not in self._ssrcs and not self._has_room(srtp, arrival_ns):
            self.counters.over_limit += 1
            return
        gate = None if is_rtcp else self.gates.get(ssrc)
        if gate is None:
            self._unseal(srtp, datagram, ssrc, arrival_ns, is_rtcp=is_rtcp)
            return
        for sealed, came_ns in gate(datagram, arrival_ns):
            try:
                self._unseal(srtp, sealed, ssrc, came_ns, is_rtcp=False)
            except Exception:  # the same per-packet boundary
                self._count_fault()

    def _unseal(
        self, srtp: InboundSrtp, datagram: bytes, ssrc: bytes, arrival_ns: int, *, is_rtcp: bool
    ) -> None:
        packet = srtp.rtcp(datagram) if is_rtcp else srtp.rtp(datagram)
        if packet is None:
            self._count_refusal(srtp)
            return
        self._ssrcs[ssrc] = self.last_media_ns = arrival_ns
        if is_rtcp:
            self._on_rtcp(packet, arrival_ns)
        else:
            self._on_rtp(packet, arrival_ns)

    def _has_room(self, srtp: InboundSrtp, now_ns: int) -> bool:
        if len(self._ssrcs) < MAX_SSRCS:
            return True
        if now_ns < self._full_until_ns:
            return False
        idle = min(self._ssrcs, key=self._ssrcs.__getitem__)
        self._full_until_ns = self._ssrcs[idle] + SSRC_IDLE_NS
        if now_ns < self._full_until_ns:
            return False
        del self._ssrcs[idle]
        srtp.forget(int.from_bytes(idle, "big"))
        return True

    def _count_fault(self) -> None:
        """Called while the exception is handled."""
        self.counters.faults += 1
        if self.counters.faults == 1:
            logger.exception("a packet could not be handled; further ones are only counted")

    def _count_refusal(self, srtp: InboundSrtp) -> None:
        if srtp.status in SRTP_REPLAYED:
            self.counters.replayed += 1
        else:
            self.counters.unauthentic += 1

    def _stun(
        self,
        protocol: StunProtocol,
        datagram: bytes,
        address: tuple[Any, ...],
        arrival_ns: int,
    ) -> None:
        """Let through what answers us and what asks for us; aioice answers anybody."""
        kind = datagram[:2]
        if len(datagram) < STUN_HEADER_BYTES:
            self.counters.malformed += 1
        elif kind in STUN_ANSWERS:
            if datagram[8:STUN_HEADER_BYTES] in protocol.transactions:
                feed_stun(protocol, datagram, address)
            else:
                self.counters.stray += 1
        elif kind != STUN_REQUEST or not self._ice.is_named_in(datagram):
            self.counters.stray += 1
        elif not self._checks.take(1, arrival_ns):
            self.counters.over_budget += 1
        elif self._ice.has_room_for((address[0], address[1])):
            feed_stun(protocol, datagram, address)
        else:
            self.counters.over_limit += 1

    def _dtls(self, datagram: bytes, address: tuple[Any, ...], arrival_ns: int) -> None:
        # During the handshake the other end may already use a pair whose check we have not
        # finished; a dropped ClientHello would cost its retransmission timer.
        is_expected = self._is_remote(address) or (
            self._srtp is None and self._ice.is_candidate((address[0], address[1]))
        )
        if not is_expected:
            self.counters.stray += 1
        elif not self._dtls_datagrams.take(1, arrival_ns):
            self.counters.over_budget += 1
        elif self._ice.pending_dtls() >= MAX_PENDING_DTLS:
            self.counters.over_limit += 1
        else:
            self._ice.feed_dtls(datagram)
