"""RTCP compounds: reports, goodbyes and feedback (RFC 3550, 4585, 5104, draft REMB).

Parsing is tolerant: unknown packet types and malformed bodies are skipped, and a length that
lies ends the compound. Everything is bounded by the datagram it came in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from worker.core.timing import NS_PER_S
from worker.rooms.rtp.packet import BadPacket

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206

_NACK = 1
_PLI = 1
_FIR = 4
_APPLICATION = 15
_CNAME = 1

MAX_NACKED = 1024
MAX_COMPOUND_BYTES = 1200

_HEADER = Struct("!BBH")
_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_PAIR = Struct("!HH")
_WORD = Struct("!I")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one stream was received."""

    ssrc: int
    fraction_lost: int
    """Of the packets expected since the last report, in 1/256."""
    packets_lost: int
    """Since the beginning, signed 24 bits."""
    highest_sequence: int
    """With the number of wraps in the upper 16 bits."""
    jitter: int
    """In units of the stream's RTP clock."""
    last_report: int
    """Middle 32 bits of the NTP time of the last sender report; 0 before the first."""
    delay_since_report: int
    """Since that report arrived, in 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderReportPacket:
    ssrc: int
    ntp: int
    """64-bit NTP timestamp: seconds since 1900 and a 32-bit fraction."""
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReportPacket:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ByePacket:
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CnamePacket:
    """Source description; everything but the canonical name is left out."""

    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class NackPacket:
    sender_ssrc: int
    media_ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PliPacket:
    sender_ssrc: int
    media_ssrc: int


@dataclass(frozen=True, slots=True)
class FirPacket:
    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]
    """Media SSRC and command number of each request."""


@dataclass(frozen=True, slots=True)
class RembPacket:
    sender_ssrc: int
    bitrate_bps: int
    ssrcs: tuple[int, ...]


RtcpPacket = (
    SenderReportPacket
    | ReceiverReportPacket
    | ByePacket
    | CnamePacket
    | NackPacket
    | PliPacket
    | FirPacket
    | RembPacket
)


def ntp_to_ns(ntp: int) -> int:
    """A 64-bit NTP timestamp as nanoseconds since 1900."""
    return (ntp * NS_PER_S) >> 32


def ns_to_ntp(ns: int) -> int:
    """Nanoseconds since 1900 as a 64-bit NTP timestamp."""
    return (ns << 32) // NS_PER_S


# --- parsing --------------------------------------------------------------------------------


def parse_rtcp(data: bytes) -> list[RtcpPacket]:
    """What a compound says, in order. Raises `BadPacket` when it does not even begin as RTCP."""
    if len(data) < 4 or data[0] >> 6 != 2:
        raise BadPacket("not an RTCP packet")
    packets: list[RtcpPacket] = []
    position = 0
    while position + 4 <= len(data):
        first, packet_type, words = _HEADER.unpack_from(data, position)
        end = position + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            break
        body = data[position + 4 : end]
        position = end
        if first & 0x20 and body:
            if not 0 < body[-1] <= len(body):
                break
            body = body[: -body[-1]]
        packet = _parse_body(packet_type, first & 0x1F, body)
        if packet is not None:
            packets.append(packet)
    return packets


def _parse_body(packet_type: int, count: int, body: bytes) -> RtcpPacket | None:
    if packet_type == SENDER_REPORT and len(body) >= 24:
        ssrc, ntp, rtp_timestamp, packet_count, octet_count = _SENDER.unpack_from(body)
        return SenderReportPacket(
            ssrc, ntp, rtp_timestamp, packet_count, octet_count, _blocks(body[24:], count)
        )
    if packet_type == RECEIVER_REPORT and len(body) >= 4:
        return ReceiverReportPacket(_word(body, 0), _blocks(body[4:], count))
    if packet_type == GOODBYE:
        available = min(count, len(body) // 4)
        return ByePacket(tuple(_word(body, 4 * index) for index in range(available)))
    if packet_type == SOURCE_DESCRIPTION:
        return CnamePacket(tuple(_names(body, count)))
    if packet_type == TRANSPORT_FEEDBACK and count == _NACK and len(body) >= 8:
        return NackPacket(_word(body, 0), _word(body, 4), _nacked(body[8:]))
    if packet_type == PAYLOAD_FEEDBACK and len(body) >= 8:
        return _payload_feedback(count, body)
    return None


def _payload_feedback(form: int, body: bytes) -> RtcpPacket | None:
    sender_ssrc, information = _word(body, 0), body[8:]
    if form == _PLI:
        return PliPacket(sender_ssrc, _word(body, 4))
    if form == _FIR:
        return FirPacket(
            sender_ssrc,
            tuple(
                (_word(information, at), information[at + 4])
                for at in range(0, len(information) - 7, 8)
            ),
        )
    if form == _APPLICATION and information[:4] == b"REMB" and len(information) >= 8:
        count, exponent = information[4], information[5] >> 2
        mantissa = (information[5] & 3) << 16 | int.from_bytes(information[6:8], "big")
        available = min(count, (len(information) - 8) // 4)
        return RembPacket(
            sender_ssrc,
            mantissa << exponent,
            tuple(_word(information, 8 + 4 * index) for index in range(available)),
        )
    return None


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _blocks(data: bytes, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for index in range(min(count, len(data) // 24)):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(data, 24 * index)
        total = lost & 0xFFFFFF
        blocks.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=lost >> 24,
                packets_lost=total - (1 << 24) if total & 0x800000 else total,
                highest_sequence=highest,
                jitter=jitter,
                last_report=last,
                delay_since_report=delay,
            )
        )
    return tuple(blocks)


def _names(data: bytes, count: int) -> Iterator[tuple[int, str]]:
    position = 0
    for _ in range(count):
        if position + 4 > len(data):
            return
        ssrc = _word(data, position)
        position += 4
        while position + 1 < len(data) and data[position] != 0:
            item, length = data[position], data[position + 1]
            value = data[position + 2 : position + 2 + length]
            if item == _CNAME and len(value) == length:
                yield ssrc, value.decode("utf-8", "replace")
            position += 2 + length
        position += 4 - position % 4  # the terminating zero and its padding


def _nacked(information: bytes) -> tuple[int, ...]:
    sequences: list[int] = []
    for at in range(0, len(information) - 3, 4):
        first, following = _PAIR.unpack_from(information, at)
        sequences.append(first)
        sequences += [first + bit + 1 & 0xFFFF for bit in range(16) if following >> bit & 1]
        if len(sequences) >= MAX_NACKED:
            break
    return tuple(sequences[:MAX_NACKED])


# --- building -------------------------------------------------------------------------------


def build_sender_report(report: SenderReportPacket) -> bytes:
    """One SR with up to 31 report blocks."""
    body = _SENDER.pack(
        report.ssrc,
        report.ntp,
        report.rtp_timestamp,
        report.packet_count & 0xFFFFFFFF,
        report.octet_count & 0xFFFFFFFF,
    )
    return _packet(SENDER_REPORT, len(report.reports), body + _build_blocks(report.reports))


def build_receiver_report(report: ReceiverReportPacket) -> bytes:
    """One RR with up to 31 report blocks."""
    return _packet(
        RECEIVER_REPORT,
        len(report.reports),
        _WORD.pack(report.ssrc) + _build_blocks(report.reports),
    )


def build_cname(ssrc: int, cname: str) -> bytes:
    """Source description that names one source; *cname* at most 255 bytes."""
    value = cname.encode()
    chunk = _WORD.pack(ssrc) + bytes((_CNAME, len(value))) + value + b"\0"
    return _packet(SOURCE_DESCRIPTION, 1, chunk + bytes(-len(chunk) % 4))


def build_bye(ssrcs: Sequence[int]) -> bytes:
    """Goodbye of up to 31 sources."""
    return _packet(GOODBYE, len(ssrcs), b"".join(_WORD.pack(ssrc) for ssrc in ssrcs))


def build_nack(sender_ssrc: int, media_ssrc: int, sequences: Iterable[int]) -> bytes:
    """Generic NACK; *sequences* in order of sending, so that neighbours share an entry."""
    entries: list[tuple[int, int]] = []
    for sequence in sequences:
        if entries:
            first, following = entries[-1]
            distance = (sequence - first & 0xFFFF) - 1
            if 0 <= distance < 16:
                entries[-1] = (first, following | 1 << distance)
                continue
        entries.append((sequence & 0xFFFF, 0))
    body = _WORD.pack(sender_ssrc) + _WORD.pack(media_ssrc)
    return _packet(TRANSPORT_FEEDBACK, _NACK, body + b"".join(_PAIR.pack(*e) for e in entries))


def build_pli(sender_ssrc: int, media_ssrc: int) -> bytes:
    """Picture loss indication: please send a keyframe."""
    return _packet(PAYLOAD_FEEDBACK, _PLI, _WORD.pack(sender_ssrc) + _WORD.pack(media_ssrc))


def build_fir(sender_ssrc: int, media_ssrc: int, command: int) -> bytes:
    """Full intra request; *command* counts up per request, modulo 256."""
    body = _WORD.pack(sender_ssrc) + _WORD.pack(0) + _WORD.pack(media_ssrc)
    return _packet(PAYLOAD_FEEDBACK, _FIR, body + bytes((command & 0xFF, 0, 0, 0)))


def build_remb(sender_ssrc: int, bitrate_bps: int, ssrcs: Sequence[int]) -> bytes:
    """Receiver-estimated maximum bitrate of the whole transport; up to 255 sources."""
    exponent = max(0, bitrate_bps.bit_length() - 18)
    mantissa = bitrate_bps >> exponent
    body = _WORD.pack(sender_ssrc) + _WORD.pack(0) + b"REMB"
    body += bytes((len(ssrcs), exponent << 2 | mantissa >> 16))
    body += (mantissa & 0xFFFF).to_bytes(2, "big")
    return _packet(
        PAYLOAD_FEEDBACK, _APPLICATION, body + b"".join(_WORD.pack(ssrc) for ssrc in ssrcs)
    )


def pack_compounds(packets: Iterable[bytes]) -> list[bytes]:
    """Put RTCP packets together into compounds of at most 1200 bytes, in order."""
    compounds: list[bytes] = []
    for packet in packets:
        if compounds and len(compounds[-1]) + len(packet) <= MAX_COMPOUND_BYTES:
            compounds[-1] += packet
        else:
            compounds.append(packet)
    return compounds


def _build_blocks(reports: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.packets_lost & 0xFFFFFF,
            block.highest_sequence & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_report,
            block.delay_since_report & 0xFFFFFFFF,
        )
        for block in reports
    )


def _packet(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
