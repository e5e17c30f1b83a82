"""mixworker: joins a WebRTC room, mixes and composites it, encodes once, delivers.

core      decides: values, layouts, selection, mixing, timing; pure, numpy only
ports     what the engine asks of the world, as Protocols and plain values
media     the only home of PyAV: decode, scale, compose, encode, mux, images
rooms     the only home of aiortc: transports, our RTP receive engine, room dialects
sinks     encoded packets to destinations
engine    one job from join to finished file, in one TaskGroup
api       the only place that knows wire spellings: documents and requests to core values
testroom  a small room server with a web page, and synthetic participants
app, cli  tie the knot
"""

__version__ = "0.1.0"
