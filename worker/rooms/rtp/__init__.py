"""Packet formats of WebRTC media: bytes to plain values and back, nothing else.

    packet.py   RTP and its header extensions       rtcp.py   reports and feedback
    rtx.py      retransmissions (RFC 4588)          red.py    redundant audio (RFC 2198)
    vp8.py      VP8 payloads (RFC 7741)             h264.py   H.264 payloads (RFC 6184)
    vp9.py      VP9 payloads (RFC 9628)             sps.py    size of an H.264 picture
    vp9_header.py   kind and size of VP9 frames, superframes
    frames.py   what the video formats have in common

Parsers take whatever an authenticated but hostile peer may send; they raise `BadPacket` only.
"""
