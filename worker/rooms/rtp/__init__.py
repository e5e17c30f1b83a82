"""Packet formats of WebRTC media: bytes to plain values and back, nothing else.

    packet.py   RTP and its header extensions       rtcp.py   reports and feedback
    rtx.py      retransmissions (RFC 4588)
    vp8.py      VP8 payloads (RFC 7741)             h264.py   H.264 payloads (RFC 6184)
    sps.py      picture size from an H.264 sequence parameter set
    frames.py   what the video formats have in common

Parsers take whatever an authenticated but hostile peer may send; they raise `BadPacket` only.
"""
