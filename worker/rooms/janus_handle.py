"""One subscriber handle of a VideoRoom and its peer connection: what Janus says of it."""

import asyncio
from collections import deque

from worker.rooms.janus_layers import HIGHEST
from worker.rooms.janus_messages import JanusMessage, subscribed
from worker.rooms.janus_plan import Relay, StreamKey
from worker.rooms.session import MediaSession

MAX_WAITING_OFFERS = 8
"""Policy: a connection that is offered faster than we answer is given up."""


class JanusHandle:
    """The state of one handle; `take` follows Janus's events."""

    def __init__(self, session: MediaSession) -> None:
        self.session = session
        self.handle_id = 0
        self.streams: dict[str, StreamKey] = {}
        """Our MID to the stream it carries."""
        self.asked: dict[str, Relay] = {}
        """How each MID shall be relayed."""
        self.substreams: dict[str, int] = {}
        """The simulcast layer that is being relayed, by MID."""
        self.suspects: set[StreamKey] = set()
        """Streams from which nothing comes, to be subscribed to anew."""
        self.offers: deque[str] = deque()
        self.changed = asyncio.Event()

    def take(self, message: JanusMessage) -> None:
        """An event of Janus for this handle; answers to our requests come here too."""
        if message.kind in ("hangup", "detached"):
            self.session.end()
        streams = subscribed(message.event)
        if streams is not None:
            self.streams = {
                stream.mid: (stream.feed_id, stream.feed_mid)
                for stream in streams
                if stream.feed_id is not None and stream.feed_mid is not None and stream.is_active
            }
        mid, substream = message.event.get("mid"), message.event.get("substream")
        if isinstance(mid, str) and substream in range(HIGHEST + 1):
            assert isinstance(substream, int)
            self.substreams[mid] = substream
        if message.offer is not None:
            if len(self.offers) >= MAX_WAITING_OFFERS:
                self.session.end()
            self.offers.append(message.offer)
            self.session.note_offer()
        self.changed.set()

    def end(self) -> None:
        """The connection is over; wakes whoever serves it."""
        self.session.end()
        self.changed.set()

    def mids(self, key: StreamKey) -> list[str]:
        """Where the stream *key* is carried."""
        return [mid for mid, carried in self.streams.items() if carried == key]
