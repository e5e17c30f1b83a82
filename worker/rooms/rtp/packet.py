"""RTP packets and their header extensions (RFC 3550 section 5, RFC 8285)."""

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

from worker.errors import MediaError

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!HH")
_ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000


class BadPacket(MediaError):
    """Bytes from the network that are not what they claim to be; the packet is dropped."""

    code = "bad_packet"


@dataclass(slots=True)
class RtpPacket:
    """One RTP packet. Not frozen because one is made for every packet; nobody writes to it."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    """Without padding; empty for a packet that is padding only."""
    extension_profile: int = 0
    extensions: bytes = b""
    """Undecoded header extensions; see `header_extension`."""


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse one packet. Raises `BadPacket` when a length in it lies."""
    if len(data) < 12 or data[0] >> 6 != 2:
        raise BadPacket("not an RTP packet")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    start = 12 + 4 * (first & 0x0F)
    end = len(data)
    profile = 0
    extensions = b""
    if first & 0x10:
        if end < start + 4:
            raise BadPacket("RTP header extension is cut off")
        profile, words = _EXTENSION.unpack_from(data, start)
        start += 4
        extensions = data[start : start + 4 * words]
        start += 4 * words
    if first & 0x20 and end > start:
        padding = data[-1]
        if not 0 < padding <= end - start:
            raise BadPacket("RTP padding is longer than the packet")
        end -= padding
    if start > end:
        raise BadPacket("RTP header is longer than the packet")
    return RtpPacket(
        second & 0x7F,
        second > 127,
        sequence,
        timestamp,
        ssrc,
        data[start:end],
        profile,
        extensions,
    )


def header_extension(packet: RtpPacket, extension_id: int) -> bytes | None:
    """The value of one header extension; None when it is absent or what precedes it is broken."""
    data = packet.extensions
    end = len(data)
    position = 0
    if packet.extension_profile == _ONE_BYTE:
        while position < end:
            first = data[position]
            position += 1
            if first == 0:
                continue  # padding
            found = first >> 4
            if found == 15:
                return None  # RFC 8285 section 4.2: stop here
            length = (first & 0x0F) + 1
            if found == extension_id:
                return data[position : position + length] if position + length <= end else None
            position += length
    elif packet.extension_profile & 0xFFF0 == _TWO_BYTE:
        while position + 1 < end:
            found = data[position]
            if found == 0:
                position += 1
                continue
            length = data[position + 1]
            position += 2
            if found == extension_id:
                return data[position : position + length] if position + length <= end else None
            position += length
    return None


def audio_level_dbov(packet: RtpPacket, extension_id: int) -> int | None:
    """What the sender says of the level, 0 to -127 dBov (RFC 6464, 3); None when it does not."""
    value = header_extension(packet, extension_id)
    # Seven bits of -dBov below the voice activity flag.
    return -(value[0] & 0x7F) if value else None


def build_rtp(
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    marker: bool = False,
    extensions: Mapping[int, bytes] | None = None,
) -> bytes:
    """One packet as bytes. Extension ids are 1..14 and values 1..16 bytes (one-byte form)."""
    first = 0x80
    header = b""
    if extensions:
        elements = b"".join(
            bytes(((extension_id << 4) | (len(value) - 1),)) + value
            for extension_id, value in extensions.items()
        )
        elements += bytes(-len(elements) % 4)
        header = _EXTENSION.pack(_ONE_BYTE, len(elements) // 4) + elements
        first |= 0x10
    return (
        _HEADER.pack(
            first,
            payload_type | (0x80 if marker else 0),
            sequence & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            ssrc,
        )
        + header
        + payload
    )
