"""Retransmissions in a stream of their own (RFC 4588): two bytes of old sequence number first."""

from dataclasses import replace

from worker.rooms.rtp.packet import BadPacket, RtpPacket


def unwrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket | None:
    """The packet that is repeated; None for one that only probes bandwidth (empty or padding).

    *payload_type* is the one named by `apt`, *ssrc* that of the repaired stream.
    Raises `BadPacket` when the sequence number is cut off.
    """
    if not packet.payload:
        return None
    if len(packet.payload) < 2:
        raise BadPacket("retransmission without a sequence number")
    return replace(
        packet,
        payload_type=payload_type,
        sequence=int.from_bytes(packet.payload[:2], "big"),
        ssrc=ssrc,
        payload=packet.payload[2:],
    )


def wrap_rtx(packet: bytes, *, payload_type: int, ssrc: int, sequence: int) -> bytes:
    """The RTX packet that repeats *packet*, an RTP packet without CSRCs as we send them."""
    header_bytes = 12
    if packet[0] & 0x10:
        header_bytes += 4 + 4 * int.from_bytes(packet[14:16], "big")
    return (
        packet[:1]
        + bytes(((packet[1] & 0x80) | payload_type,))
        + (sequence & 0xFFFF).to_bytes(2, "big")
        + packet[4:8]
        + ssrc.to_bytes(4, "big")
        + packet[12:header_bytes]
        + packet[2:4]
        + packet[header_bytes:]
    )
