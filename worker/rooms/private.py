"""Every name of aiortc, aioice and pylibsrtp that they don't promise to keep.

All three are pinned; `verify` checks at start that what we lean on is still there and behaves,
so that an upgrade fails in the first second and not in the middle of a recording.
"""

import asyncio
import inspect
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import aioice.ice
import pylibsrtp
from aioice import Candidate
from aioice.ice import CandidatePair, Connection, StunProtocol
from aioice.turn import TurnTransport
from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
)
from pylibsrtp import Policy, Session

from worker.errors import InternalError
from worker.rooms.reader import DatagramReader

# srtp.h: SRTP_MAX_TRAILER_LEN plus the SRTCP index; room for it behind every packet.
SRTP_TRAILER_BYTES = 16 + 128 + 4
SRTP_BUFFER_BYTES = 2048
SRTP_OK = 0
SRTP_REPLAYED = (9, 10)
"""srtp_err_status_replay_fail and srtp_err_status_replay_old."""
_SO_RCVBUFFORCE = 33  # Linux; above net.core.rmem_max, needs CAP_NET_ADMIN

_RELAY_PROTOCOL = "_TurnTransport__inner_protocol"
MAX_PAIRS = 256
"""Each address that passes a check adds one and makes us check it in turn."""


class DatagramReceiver(Protocol):
    """What datagrams are given to."""

    def receive(
        self,
        protocol: StunProtocol,
        datagram: bytes,
        address: tuple[Any, ...],
        arrival_ns: int | None = None,
    ) -> None: ...

    def note_overflow(self, count: int) -> None: ...


class InboundSrtp:
    """Decrypts what the other end protected; one reused buffer instead of three copies."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._session = dtls._rx_srtp  # owns the C context
        self._call = _SrtpCall(self._session)
        self._rtp = pylibsrtp._binding.lib.srtp_unprotect
        self._rtcp = pylibsrtp._binding.lib.srtp_unprotect_rtcp

    @property
    def status(self) -> int:
        """libsrtp's status of the last call."""
        return self._call.status

    def rtp(self, packet: bytes) -> bytes | None:
        """The plain packet, or None when it is forged, damaged or replayed (see `status`)."""
        return self._call(self._rtp, packet)

    def rtcp(self, packet: bytes) -> bytes | None:
        """The plain compound, or None when it is forged, damaged or replayed."""
        return self._call(self._rtcp, packet)

    def forget(self, ssrc: int) -> None:
        """Free the state of a stream that has ended."""
        try:
            self._session.remove_stream(ssrc)
        except pylibsrtp.Error:
            pass  # it never sent an authentic packet, so there is no state


class OutboundSrtp:
    """Protects what we send; packets up to `SRTP_BUFFER_BYTES - SRTP_TRAILER_BYTES`."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._call = _SrtpCall(dtls._tx_srtp)
        self._rtp = pylibsrtp._binding.lib.srtp_protect
        self._rtcp = pylibsrtp._binding.lib.srtp_protect_rtcp

    def rtp(self, packet: bytes) -> bytes | None:
        """The protected packet, or None when libsrtp refuses it."""
        return self._call(self._rtp, packet)

    def rtcp(self, packet: bytes) -> bytes | None:
        """The protected compound, or None when libsrtp refuses it."""
        return self._call(self._rtcp, packet)


class _SrtpCall:
    __slots__ = ("_handle", "_length", "_memory", "_session", "_view", "status")

    def __init__(self, session: Session) -> None:
        ffi = pylibsrtp._binding.ffi
        self._session = session
        self._handle = session._srtp[0]
        self._memory = ffi.new("char[]", SRTP_BUFFER_BYTES)
        self._view = ffi.buffer(self._memory)
        self._length = ffi.new("int *")
        self.status = SRTP_OK

    def __call__(self, function: Callable[[Any, Any, Any], int], packet: bytes) -> bytes | None:
        size = len(packet)
        if size > SRTP_BUFFER_BYTES - SRTP_TRAILER_BYTES:
            return None
        self._view[0:size] = packet
        self._length[0] = size
        self.status = function(self._handle, self._memory, self._length)
        if self.status != SRTP_OK:
            return None
        return cast(bytes, self._view[0 : self._length[0]])


class IceInternals:
    """What we reach inside one ICE transport."""

    def __init__(self, gatherer: RTCIceGatherer) -> None:
        self._connection: Connection = gatherer._connection
        self._nominated: dict[int, CandidatePair] = self._connection._nominated
        self._username = f"{self._connection.local_username}:".encode()
        self._end_reading: list[Callable[[], None]] = []
        # Anything that is neither STUN nor taken by our own path would pile up unread.
        setattr(self._connection, "data_received", _ignore_data)  # noqa: B010

    def set_controlling(self) -> None:
        """The offerer controls (RFC 8445 section 6.1.1); aiortc's gatherer assumes the other."""
        self._connection.ice_controlling = True

    async def gather(
        self, addresses: Sequence[str], *, relay_only: bool = False
    ) -> tuple[Candidate, ...]:
        """Bind *addresses*, loopback included, and ask the configured servers.

        With *relay_only* our own addresses are in no candidate, not even as related ones.
        """
        connection = self._connection
        if relay_only:
            connection._transport_policy = aioice.ice.TransportPolicy.RELAY
        connection._local_candidates_start = True
        connection._local_candidates += await connection.get_component_candidates(
            component=1, addresses=list(addresses)
        )
        connection._local_candidates_end = True
        return tuple(connection._local_candidates)

    def receive_with(
        self,
        receiver: DatagramReceiver,
        *,
        receive_buffer_bytes: int,
        reader: DatagramReader | None,
    ) -> int:
        """Put *receiver* between every socket and its ICE protocol, and *reader* in front of it.

        Returns the smallest receive buffer the kernel granted, in bytes of its accounting.
        """
        granted = []
        for protocol in self._connection._protocols:
            handler = partial(receiver.receive, protocol)
            setattr(protocol, "datagram_received", handler)  # noqa: B010
            transport = protocol.transport
            try:
                # asyncio allocates this much per datagram: 26 us of 38 at its 256 KiB.
                transport.max_size = SRTP_BUFFER_BYTES  # type: ignore[attr-defined]
            except AttributeError:
                pass  # uvloop reads into one buffer of its own; TURN has no socket here
            if isinstance(transport, TurnTransport):
                granted.append(_prepare_relay(transport, receive_buffer_bytes))
                continue
            udp = transport.get_extra_info("socket")
            if udp is not None:
                granted.append(_enlarge_receive_buffer(udp, receive_buffer_bytes))
                if reader is not None and _stop_reading(udp):
                    self._end_reading.append(reader.add(udp, handler, receiver.note_overflow))
        return min(granted, default=0)

    def end_reading(self) -> None:
        """Take the sockets away from the reader, before they are closed."""
        for end in self._end_reading:
            end()
        self._end_reading.clear()

    def close_sockets(self) -> None:
        """Close what closing the connection has left open, if it was cut short."""
        for protocol in self._connection._protocols:
            protocol.transport.close()

    def is_named_in(self, request: bytes) -> bool:
        """Whether a STUN request has our user name in it, as every check of the other end has."""
        return self._username in request

    def has_room_for(self, address: tuple[str, int]) -> bool:
        """Whether a check from *address* is known or may add one more candidate."""
        return len(self._connection._check_list) < MAX_PAIRS or self.is_candidate(address)

    def selected_pair(self) -> CandidatePair | None:
        """The nominated pair, once there is one; may be replaced by a better one later."""
        return self._nominated.get(1)

    def is_candidate(self, address: tuple[str, int]) -> bool:
        """Whether *address* was signalled or has passed an authenticated check."""
        return any(
            (candidate.host, candidate.port) == address
            for candidate in self._connection._remote_candidates
        )

    def is_validated(self, address: tuple[str, int]) -> bool:
        """Whether media may come from *address*: a candidate's, or the nominated pair's.

        Not only where our own check was answered: the other end may nominate several pairs and
        use the last, while aioice forgets every pair it has not checked when the first succeeds.
        """
        selected = self.selected_pair()
        is_selected = selected is not None and selected.remote_addr == address
        return is_selected or self.is_candidate(address)

    def pending_dtls(self) -> int:
        """Datagrams queued for the DTLS transport."""
        return self._connection._queue.qsize()

    def feed_dtls(self, datagram: bytes) -> None:
        """Hand a datagram to the DTLS transport."""
        self._connection._queue.put_nowait((datagram, 1))


def feed_stun(protocol: StunProtocol, datagram: bytes, address: tuple[Any, ...]) -> None:
    """Let aioice have a datagram its protocol would have received by itself."""
    StunProtocol.datagram_received(protocol, datagram, address)


def machine_addresses() -> tuple[str, ...]:
    """Addresses of this machine without loopback and link-local ones."""
    return tuple(aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True))


def set_dtls_role(dtls: RTCDtlsTransport, role: str) -> None:
    """Fix the role that offer and answer settled: "client" or "server"."""
    dtls._set_role(role)


def free(dtls: RTCDtlsTransport) -> None:
    """Give back at once what OpenSSL and libsrtp hold for a stopped transport, some 150 kB.

    The transport itself is in a knot of objects that only a collection of garbage resolves.
    """
    dtls._ssl = None
    setattr(dtls, "_rx_srtp", None)  # noqa: B010 - typed as always there
    setattr(dtls, "_tx_srtp", None)  # noqa: B010


def _ignore_data(data: bytes, component: int) -> None:
    """Where a datagram ends that claimed to be STUN and was not."""


def _stop_reading(udp: socket.socket) -> bool:
    """Make asyncio leave *udp* to us; False on a loop that reads in another way."""
    stop = getattr(asyncio.get_running_loop(), "_remove_reader", None)
    return stop is not None and bool(stop(udp.fileno()))


def _prepare_relay(relay: TurnTransport, size: int) -> int:
    """Do for the socket to a TURN server what is done for others; over TCP nothing is needed."""
    transport = vars(relay)[_RELAY_PROTOCOL].transport
    server = transport.get_extra_info("socket")
    if server.type != socket.SOCK_DGRAM:
        return size
    try:
        transport.max_size = SRTP_BUFFER_BYTES
    except AttributeError:
        pass  # uvloop, as above
    return _enlarge_receive_buffer(server, size)


def _enlarge_receive_buffer(udp: socket.socket, size: int) -> int:
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            udp.setsockopt(socket.SOL_SOCKET, option, size)
            break
        except OSError:
            continue  # without the privilege the plain option is capped by the kernel
    return udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def verify() -> None:
    """Check every private name used here. Raises `InternalError` that names what has changed."""
    for owner, names in (
        (aioice.ice, ("get_host_addresses",)),
        (StunProtocol, ("datagram_received",)),
        (BaseSelectorEventLoop, ("_remove_reader",)),
        (Connection, ("get_component_candidates", "data_received")),
        (RTCDtlsTransport, ("_set_role",)),
        (Session, ("remove_stream",)),
        (CandidatePair, ("remote_addr",)),
    ):
        for name in names:
            _expect(name in vars(owner), f"{owner.__name__}.{name} is gone")
    _expect(
        list(inspect.signature(StunProtocol.datagram_received).parameters)
        == ["self", "data", "addr"],
        "StunProtocol.datagram_received takes other arguments",
    )
    relay = TurnTransport(cast(Any, None))
    _expect(_RELAY_PROTOCOL in vars(relay), "TurnTransport holds its socket elsewhere")
    gatherer = RTCIceGatherer(iceServers=[])
    connection = gatherer._connection
    for name, kind in (
        ("_nominated", dict),
        ("_check_list", list),
        ("_local_candidates", list),
        ("_remote_candidates", list),
        ("_local_candidates_start", bool),
        ("_local_candidates_end", bool),
        ("_protocols", list),
        ("_transport_policy", aioice.ice.TransportPolicy),
        ("ice_controlling", bool),
    ):
        _expect(isinstance(getattr(connection, name, None), kind), f"Connection.{name} changed")
    _expect(hasattr(connection, "_queue"), "Connection._queue is gone")
    dtls = RTCDtlsTransport(RTCIceTransport(gatherer), [RTCCertificate.generateCertificate()])
    for name in ("_rx_srtp", "_tx_srtp", "_ssl"):
        _expect(hasattr(dtls, name), f"RTCDtlsTransport.{name} is gone")
    _verify_srtp(dtls)


def _verify_srtp(dtls: RTCDtlsTransport) -> None:
    key = bytes(range(30))
    dtls._tx_srtp = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    dtls._rx_srtp = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND))
    plain = bytes.fromhex("8060000100000002000000030405060708")
    outbound, inbound = OutboundSrtp(dtls), InboundSrtp(dtls)
    protected = outbound.rtp(plain)
    _expect(protected is not None and protected != plain, "libsrtp does not protect")
    _expect(inbound.rtp(protected or b"") == plain, "libsrtp does not unprotect")
    _expect(
        inbound.rtp(protected or b"") is None and inbound.status in SRTP_REPLAYED,
        "libsrtp accepts a replayed packet",
    )


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise InternalError(f"the WebRTC libraries do not fit this worker: {what}")
