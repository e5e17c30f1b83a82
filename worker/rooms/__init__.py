"""Rooms we can join, and the only home of aiortc.

mesh.py          our own test room: WebSocket signalling, one peer connection per publisher
peer.py          one peer connection: negotiation, ICE, DTLS, SRTP; plain packets in and out
media.py         what is negotiated, as plain values
sdp.py           reading descriptions (hostile input); sdp_text.py writes ours
ice.py           which addresses and servers a connection may use
datagrams.py     the per-packet path between the socket and a peer
private.py       every name of aiortc, aioice and pylibsrtp that they don't promise to keep
rtp/             packet formats: RTP, RTCP, VP8, H.264
receive/         packets to frames: reordering, NACK, epochs, reports; pure, time is an argument
"""
