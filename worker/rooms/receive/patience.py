"""How long a room's receivers wait for missing packets, and how long they had better wait.

One object per room, shared by all its connections: whoever plays the room out says how late a
packet may be, and every answered request says how late the network makes them.
"""

from worker.core.identity import Kind
from worker.core.timing import NS_PER_MS

VIDEO_NS = 450 * NS_PER_MS
AUDIO_NS = 240 * NS_PER_MS
"""What is left of 600 ms of playout delay after decoding; for sound after its lookahead too."""
ATTEMPTS = 3
"""Requests of one packet there must be time for: at 5 % loss both ways one of 10,000 remains."""
DECODE_NS = 150 * NS_PER_MS
"""What a picture needs between the last of its packets and its instant."""
REQUEST_NS = 50 * NS_PER_MS
"""What requests wait for in all: reordering, and the next poll each time."""


class Patience:
    """Mutable; the playout side writes the limits, the receivers write what they need."""

    def __init__(self, *, video_ns: int = VIDEO_NS, audio_ns: int = AUDIO_NS) -> None:
        self._limits_ns = {Kind.VIDEO: video_ns, Kind.AUDIO: audio_ns}
        self.wanted_delay_ns = 0
        """Playout delay with which lost pictures could be repaired; only grows."""

    def limit_ns(self, kind: Kind) -> int:
        """How long after it was noticed a missing packet of this kind is still of use."""
        return self._limits_ns[kind]

    def set_limits(self, *, video_ns: int, audio_ns: int) -> None:
        """From now on missing packets are waited for this long."""
        self._limits_ns = {Kind.VIDEO: video_ns, Kind.AUDIO: audio_ns}

    def note_repair(self, round_trip_ns: int) -> None:
        """Requests are answered after *round_trip_ns*."""
        needed_ns = ATTEMPTS * round_trip_ns + REQUEST_NS + DECODE_NS
        if needed_ns > self.wanted_delay_ns:
            self.wanted_delay_ns = needed_ns
