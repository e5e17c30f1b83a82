"""The per-packet path: a datagram from the socket becomes a plain RTP or RTCP packet.

It stands where aioice would parse every packet as STUN and queue it for a coroutine. It is
synchronous and takes plain bytes, so that a thread reading in batches can drive it as well.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioice.ice import StunProtocol

from worker.core.timing import NS_PER_S
from worker.rooms.private import (
    SRTP_REPLAYED,
    DatagramHandler,
    IceInternals,
    InboundSrtp,
    feed_stun,
)

logger = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 1500
MAX_PENDING_DTLS = 64
MAX_EARLY_DATAGRAMS = 128
"""Media that overtook the last DTLS message; at 1200 bytes each this is 150 kB."""
MAX_SSRCS = 256
"""Decryption contexts kept per transport; each new SSRC of an authentic packet makes one."""
MAX_REMOTES = 64
SSRC_IDLE_NS = 10 * NS_PER_S

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
    """Of one SSRC too many, or DTLS that piled up."""
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
        self._ice = ice
        self._clock_ns = clock_ns
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._srtp: InboundSrtp | None = None
        self._early: deque[tuple[bytes, int]] = deque()
        self._ssrcs: dict[int, int] = {}
        self._remotes: set[tuple[Any, ...]] = set()
        self._is_closed = False

    def handler(self, protocol: StunProtocol) -> DatagramHandler:
        """What replaces `datagram_received` of *protocol*."""

        def receive(datagram: bytes, address: tuple[Any, ...]) -> None:
            self.receive(protocol, datagram, address)

        return receive

    def receive(self, protocol: StunProtocol, datagram: bytes, address: tuple[Any, ...]) -> None:
        """Take one datagram; nothing it contains can raise."""
        counters = self.counters
        counters.received += 1
        size = len(datagram)
        if self._is_closed or not 0 < size <= MAX_DATAGRAM_BYTES:
            counters.malformed += 1
            return
        try:
            first = datagram[0]
            if 127 < first < 192:
                self._media(datagram, address)
            elif first < 4:
                feed_stun(protocol, datagram, address)
            elif 19 < first < 64:
                self._dtls(datagram, address)
            else:
                counters.malformed += 1
        except Exception:  # per-packet boundary: one bad packet must not end the rest
            counters.faults += 1
            if counters.faults == 1:
                logger.exception("a packet could not be handled; further ones are only counted")

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

    def _media(self, datagram: bytes, address: tuple[Any, ...]) -> None:
        srtp = self._srtp
        if srtp is None:
            if not self._ice.is_candidate((address[0], address[1])):
                self.counters.stray += 1
            elif len(self._early) >= MAX_EARLY_DATAGRAMS:
                self.counters.early += 1
            else:
                self._early.append((datagram, self._clock_ns()))
        elif self._is_remote(address):
            self._decrypt(srtp, datagram, self._clock_ns())
        else:
            self.counters.stray += 1

    def _decrypt(self, srtp: InboundSrtp, datagram: bytes, arrival_ns: int) -> None:
        if len(datagram) < 12:
            self.counters.malformed += 1
            return
        # RFC 5761 section 4: RTCP packet types 192..223 never collide with marker + type of RTP.
        if 191 < datagram[1] < 224:
            packet = srtp.rtcp(datagram)
            if packet is None:
                self._count_refusal(srtp)
                return
            self.last_media_ns = arrival_ns
            self._on_rtcp(packet, arrival_ns)
            return
        ssrc = int.from_bytes(datagram[8:12], "big")
        if ssrc not in self._ssrcs and not self._has_room(srtp, arrival_ns):
            self.counters.over_limit += 1
            return
        packet = srtp.rtp(datagram)
        if packet is None:
            self._count_refusal(srtp)
            return
        self._ssrcs[ssrc] = arrival_ns
        self.last_media_ns = arrival_ns
        self._on_rtp(packet, arrival_ns)

    def _has_room(self, srtp: InboundSrtp, now_ns: int) -> bool:
        if len(self._ssrcs) < MAX_SSRCS:
            return True
        idle = min(self._ssrcs, key=self._ssrcs.__getitem__)
        if now_ns - self._ssrcs[idle] < SSRC_IDLE_NS:
            return False
        del self._ssrcs[idle]
        srtp.forget(idle)
        return True

    def _count_refusal(self, srtp: InboundSrtp) -> None:
        if srtp.status in SRTP_REPLAYED:
            self.counters.replayed += 1
        else:
            self.counters.unauthentic += 1

    def _dtls(self, datagram: bytes, address: tuple[Any, ...]) -> None:
        # During the handshake the other end may already use a pair whose check we have not
        # finished; a dropped ClientHello would cost its retransmission timer.
        is_expected = self._is_remote(address) or (
            self._srtp is None and self._ice.is_candidate((address[0], address[1]))
        )
        if not is_expected:
            self.counters.stray += 1
        elif self._ice.pending_dtls() >= MAX_PENDING_DTLS:
            self.counters.over_limit += 1
        else:
            self._ice.feed_dtls(datagram)
