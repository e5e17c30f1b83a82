"""One peer connection, assembled from aiortc's transports without its `RTCPeerConnection`.

Either end of the test room uses it: a subscriber answers and receives, a publisher offers and
sends. What passes through is plain RTP and RTCP; SDP, ICE, DTLS and SRTP stay inside. Always one
BUNDLE transport, complete descriptions (no trickle), and no ICE restart: a peer that failed is
replaced by a new one.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
)
from aiortc.sdp import candidate_to_sdp

from worker.core.identity import Codec, Kind
from worker.errors import RoomError
from worker.rooms import private
from worker.rooms.datagrams import DatagramPath, PacketHandler, PathCounters
from worker.rooms.ice import IceSettings
from worker.rooms.media import AnswerResult, NegotiatedMedia, OfferedMedia
from worker.rooms.negotiation import (
    accepted_media,
    answered_section,
    offered_section,
    received_media,
)
from worker.rooms.reader import DatagramReader
from worker.rooms.receive.doze import Gate
from worker.rooms.sdp import BadSdp, Description, TransportDescription, read_description
from worker.rooms.sdp_text import LocalTransport, TextSection, write_description

logger = logging.getLogger(__name__)

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Holds a second of 25 participants while the event loop renegotiates."""
MAX_SEND_BUFFER_BYTES = 1024 * 1024
MAX_HOST_ADDRESSES = 16
CONNECT_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
RECEIVED_CODECS = (Codec.OPUS, Codec.VP8, Codec.VP9, Codec.H264)


class PeerFailed(RoomError):
    """The connection did not come up, or its other end changed its identity on the way."""

    code = "peer_failed"


class PeerState(Enum):
    """Life of a peer; FAILED and CLOSED are final."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


def _ignore_packet(packet: bytes, arrival_ns: int) -> None:
    """Default handler."""


def _ignore_state(state: PeerState) -> None:
    """Default handler."""


class Peer:
    """One end of a connection. Handlers run on the event loop and must return quickly.

    Negotiate with `offer` then `accept`, or with `answer`; then `connect`. Both may be repeated
    at any time to change the media while the transport stays.
    """

    def __init__(
        self,
        *,
        ice: IceSettings,
        clock_ns: Callable[[], int],
        on_rtp: PacketHandler = _ignore_packet,
        on_rtcp: PacketHandler = _ignore_packet,
        on_state: Callable[[PeerState], None] = _ignore_state,
        reader: DatagramReader | None = None,
    ) -> None:
        """*clock_ns* stamps arrivals. Needs a running event loop, which reads the sockets
        unless there is a *reader*; that one must be on the same clock.
        """
        self.on_rtp = on_rtp
        self.on_rtcp = on_rtcp
        self.on_state = on_state
        self._settings = ice
        self._reader = reader
        self._state = PeerState.NEW
        self._is_released = False
        self._gatherer = RTCIceGatherer(
            iceServers=[
                RTCIceServer(server.url, server.username, server.credential)
                for server in ice.servers
            ]
        )
        self._internals = private.IceInternals(self._gatherer)
        self._ice = RTCIceTransport(self._gatherer)
        self._certificate = RTCCertificate.generateCertificate()
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        self._ice.on("statechange", self._follow_transports)
        self._dtls.on("statechange", self._follow_transports)
        self._path = DatagramPath(
            self._internals,
            clock_ns=clock_ns,
            on_rtp=self._deliver_rtp,
            on_rtcp=self._deliver_rtcp,
        )
        self._outbound: private.OutboundSrtp | None = None
        self._candidates: tuple[str, ...] | None = None
        self._remote: TransportDescription | None = None
        self._setup = "actpass"
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._offered: dict[str, tuple[Kind, OfferedMedia | None]] = {}

    @property
    def state(self) -> PeerState:
        return self._state

    @property
    def gates(self) -> Mapping[bytes, Gate]:
        """By SSRC, as bytes: who says which RTP datagrams are decrypted, and when."""
        return self._path.gates

    @gates.setter
    def gates(self, gates: Mapping[bytes, Gate]) -> None:
        self._path.gates = gates

    @property
    def counters(self) -> PathCounters:
        """What happened to this peer's datagrams so far."""
        return self._path.counters

    @property
    def last_media_ns(self) -> int | None:
        """Arrival of the newest authentic RTP or RTCP packet."""
        return self._path.last_media_ns

    # --- negotiation ------------------------------------------------------------------------

    async def offer(self, media: Sequence[OfferedMedia]) -> str:
        """Our offer to send *media*, each in a section of its own (sendonly).

        Called again, sections are matched by `mid`: new ones are appended, those not named any
        more are closed and keep their place.
        """
        await self._gather()
        if self._remote is None:
            self._internals.set_controlling()
        self._offered = {mid: (kind, None) for mid, (kind, _) in self._offered.items()}
        for entry in media:
            self._offered[entry.mid] = (entry.kind, entry)
        return self._write(
            "actpass",
            [offered_section(mid, kind, entry) for mid, (kind, entry) in self._offered.items()],
            has_mixed_extensions=False,
        )

    async def accept(self, answer: str) -> tuple[NegotiatedMedia, ...]:
        """Take the other end's answer to our last offer.

        Codecs come in the answerer's order; send the first. Raises `BadSdp` when it does not fit
        the offer, `PeerFailed` when it names another transport than before.
        """
        description = read_description(answer)
        if len(description.sections) != len(self._offered):
            raise BadSdp("the answer has another number of media sections than the offer")
        negotiated = []
        for section, (mid, (_, offered)) in zip(
            description.sections, self._offered.items(), strict=True
        ):
            if section.mid != mid:
                raise BadSdp("the answer has other media sections than the offer")
            if offered is not None:
                negotiated.append(accepted_media(offered, section))
        await self._set_remote(description, is_offer=False)
        return tuple(negotiated)

    async def answer(
        self, offer: str, *, codecs: Sequence[Codec] = RECEIVED_CODECS
    ) -> AnswerResult:
        """Take the other end's offer; we receive *codecs* (recvonly) and send nothing.

        Sections without one of *codecs*, or outside the bundle, are rejected. Called again with a
        new offer it keeps the transport. Raises `BadSdp`, or `PeerFailed` when the offer names
        another transport than before.
        """
        description = read_description(offer)
        sections = [
            answered_section(section, codecs, bundle=description.bundle)
            for section in description.sections
        ]
        if self._remote is None and not any(section.codecs for section in sections):
            raise BadSdp("the offer has no media we can receive")
        await self._gather()
        await self._set_remote(description, is_offer=True)
        sdp = self._write(
            self._setup, sections, has_mixed_extensions=description.has_mixed_extensions
        )
        media = tuple(
            received_media(section, text)
            for section, text in zip(description.sections, sections, strict=True)
            if section.kind is not None
        )
        self._path.expect(sum(entry.is_active for entry in media))
        return AnswerResult(sdp=sdp, media=media)

    # --- transport --------------------------------------------------------------------------

    async def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Run ICE and DTLS; returns when packets can flow. Raises `PeerFailed`."""
        remote = self._remote
        if remote is None:
            raise PeerFailed("nothing negotiated yet")
        self._set_state(PeerState.CONNECTING)
        try:
            async with asyncio.timeout(timeout_s):
                await self._ice.start(
                    RTCIceParameters(
                        usernameFragment=remote.username,
                        password=remote.password,
                        iceLite=remote.is_lite,
                    )
                )
                if self._ice.state == "completed":
                    await self._dtls.start(
                        RTCDtlsParameters(
                            fingerprints=[
                                RTCDtlsFingerprint(algorithm=algorithm, value=value)
                                for algorithm, value in remote.fingerprints
                            ]
                        )
                    )
        except TimeoutError as exc:
            self._set_state(PeerState.FAILED)
            raise PeerFailed(
                f"no connection within {timeout_s:g} s (ICE {self._ice.state}, "
                f"DTLS {self._dtls.state})"
            ) from exc
        if self._dtls.state != "connected" or self._ice.state != "completed":
            self._set_state(PeerState.FAILED)
            raise PeerFailed(f"ICE {self._ice.state}, DTLS {self._dtls.state}")
        self._outbound = private.OutboundSrtp(self._dtls)
        self._set_state(PeerState.CONNECTED)
        self._path.open(private.InboundSrtp(self._dtls))

    def send_rtp(self, packet: bytes) -> None:
        """Protect and send one RTP packet, at most 1400 bytes; dropped while not connected."""
        outbound = self._outbound
        self._send(outbound.rtp(packet) if outbound is not None else None)

    def send_rtcp(self, packet: bytes) -> None:
        """Protect and send one RTCP compound, at most 1400 bytes; dropped while not connected."""
        outbound = self._outbound
        self._send(outbound.rtcp(packet) if outbound is not None else None)

    async def close(self) -> None:
        """Say goodbye and free the sockets; may be called at any time, and again."""
        if self._is_released:
            return
        self._is_released = True
        self._path.close()
        self._internals.end_reading()
        self._outbound = None
        self._set_state(PeerState.CLOSED)
        task = asyncio.current_task()
        cancellations = 0 if task is None else task.cancelling()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._dtls.stop()
                await self._ice.stop()
        except TimeoutError:
            logger.warning("a peer connection did not close in time")
        finally:
            self._internals.close_sockets()
            private.free(self._dtls)
            # What they belong to shall not wait with the transport for a collection of garbage.
            self.on_rtp = self.on_rtcp = _ignore_packet
            self.on_state = _ignore_state
        if task is not None and task.cancelling() > cancellations:
            # aioice takes our cancellation for the one of its own task, which it has asked for.
            raise asyncio.CancelledError

    def _send(self, protected: bytes | None) -> None:
        pair = self._internals.selected_pair()
        if protected is None or pair is None:
            self.counters.unsendable += 1
            return
        transport = pair.protocol.transport
        if getattr(transport, "get_write_buffer_size", int)() > MAX_SEND_BUFFER_BYTES:
            self.counters.unsendable += 1
            return
        transport.sendto(protected, pair.remote_addr)
        self.counters.sent += 1

    async def _gather(self) -> None:
        if self._candidates is not None:
            return
        addresses = self._settings.local_addresses(private.machine_addresses())
        await self._internals.gather(
            addresses[:MAX_HOST_ADDRESSES], relay_only=self._settings.relay_only
        )
        await self._gatherer.gather()
        granted = self._internals.receive_with(
            self._path, receive_buffer_bytes=RECEIVE_BUFFER_BYTES, reader=self._reader
        )
        if granted < RECEIVE_BUFFER_BYTES:
            logger.info("receive buffer of %d bytes granted; raise net.core.rmem_max", granted)
        self._candidates = tuple(
            candidate_to_sdp(candidate) for candidate in self._gatherer.getLocalCandidates()
        )
        if not self._candidates:
            raise PeerFailed("no local address could be bound")

    async def _set_remote(self, description: Description, *, is_offer: bool) -> None:
        known, remote = self._remote, description.transport
        if remote is None:
            if known is None:
                raise BadSdp("no media section has ICE credentials and a DTLS role")
            return
        if known is None:
            private.set_dtls_role(self._dtls, self._settle_role(remote.setup, is_offer=is_offer))
            self._remote = remote
            # End-of-candidates is never signalled: behind mDNS names the other end's address is
            # learned from its own checks, and `connect` has a timeout.
            for candidate in description.candidates:
                await self._ice.addRemoteCandidate(candidate)
        elif (known.username, known.password) != (remote.username, remote.password):
            raise PeerFailed("the other end restarts ICE, which needs a new connection")
        elif known.fingerprints != remote.fingerprints:
            raise PeerFailed("the other end changed its certificate")

    def _settle_role(self, remote_setup: str, *, is_offer: bool) -> str:
        """Our DTLS role (RFC 5763 section 5); as answerer a client unless the offerer insists."""
        if remote_setup == "auto" and not is_offer:
            raise BadSdp("the answer leaves the DTLS role open")
        role = "server" if remote_setup == "client" else "client"
        self._setup = "passive" if role == "server" else "active"
        return role

    def _write(
        self, setup: str, sections: Sequence[TextSection], *, has_mixed_extensions: bool
    ) -> str:
        self._version += 1
        parameters = self._gatherer.getLocalParameters()
        fingerprint = next(
            entry.value
            for entry in self._certificate.getFingerprints()
            if entry.algorithm == "sha-256"
        )
        return write_description(
            LocalTransport(
                session_id=self._session_id,
                username=parameters.usernameFragment or "",
                password=parameters.password or "",
                fingerprint=fingerprint,
                setup=setup,
                candidates=self._candidates or (),
            ),
            sections,
            version=self._version,
            has_mixed_extensions=has_mixed_extensions,
        )

    # --- events -----------------------------------------------------------------------------

    def _deliver_rtp(self, packet: bytes, arrival_ns: int) -> None:
        self.on_rtp(packet, arrival_ns)

    def _deliver_rtcp(self, packet: bytes, arrival_ns: int) -> None:
        self.on_rtcp(packet, arrival_ns)

    def _follow_transports(self) -> None:
        """After connecting, the transports' end is ours; before, `connect` judges them."""
        if self._state is not PeerState.CONNECTED:
            return
        if self._dtls.state == "closed":
            self._set_state(
                PeerState.CLOSED if self._ice.state == "completed" else PeerState.FAILED
            )
        elif self._dtls.state == "failed" or self._ice.state in ("failed", "closed"):
            self._set_state(PeerState.FAILED)

    def _set_state(self, state: PeerState) -> None:
        if state is self._state or self._state is PeerState.CLOSED:
            return
        self._state = state
        self.on_state(state)
