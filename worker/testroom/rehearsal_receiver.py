"""What a receive engine makes of one track on a bad network, as a model without packets' contents.

Lost video packets are asked for again until the receiver gives up; frames come out in order, and
after one that was given up nothing comes out until a keyframe. Lost audio is simply missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.core.timing import NS_PER_MS
from worker.ports import TrackStatistics
from worker.testroom.faults import Impairment

_PAYLOAD_BYTES = 1180
"""What one RTP packet carries of a frame."""
_REORDER_GUARD_NS = 5 * NS_PER_MS
_NACK_INTERVAL_NS = 40 * NS_PER_MS
_GIVE_UP_NS = 400 * NS_PER_MS
_REQUEST_INTERVAL_NS = 500 * NS_PER_MS


@dataclass(slots=True)
class AudioReceiver:
    """One Opus track."""

    statistics: TrackStatistics = field(default_factory=TrackStatistics)

    def receive(self, arrivals: Sequence[int]) -> int | None:
        """When the packet with these *arrivals* is delivered; None when it never is."""
        if not arrivals:
            self.statistics.packets_lost += 1
            return None
        self.statistics.packets_received += 1
        self.statistics.packets_duplicated += len(arrivals) - 1
        self.statistics.frames_received += 1
        return arrivals[0]


@dataclass(slots=True)
class VideoReceiver:
    """One video track. Feed it frames in order of sending."""

    statistics: TrackStatistics = field(default_factory=TrackStatistics)
    _last_ns: int = -1
    _needs_keyframe: bool = True
    _request_ns: int | None = None
    """When the next keyframe request reaches the sender; None while none is needed."""

    def receive(self, size: int, sent_ns: int, path: Impairment, *, keyframe: bool) -> int | None:
        """When a frame of *size* bytes is delivered; None when it is withheld."""
        arrivals = [self._packet_arrival(sent_ns, path) for _ in range(-(-size // _PAYLOAD_BYTES))]
        whole = [arrival_ns for arrival_ns in arrivals if arrival_ns is not None]
        if len(whole) < len(arrivals):
            self._break(sent_ns, path)
            return None
        if self._needs_keyframe and not keyframe:
            self.statistics.frames_dropped += 1
            return None
        self._needs_keyframe = False
        self._request_ns = None
        self.statistics.frames_received += 1
        self._last_ns = max(self._last_ns, *whole)
        return self._last_ns

    def wants_keyframe(self, now_ns: int) -> bool:
        """Whether a keyframe request has reached the sender by *now_ns*; each is told once."""
        if self._request_ns is None or now_ns < self._request_ns:
            return False
        self._request_ns += _REQUEST_INTERVAL_NS
        self.statistics.keyframe_requests += 1
        return True

    def _packet_arrival(self, sent_ns: int, path: Impairment) -> int | None:
        arrivals = path.arrivals(sent_ns)
        if arrivals:
            self.statistics.packets_received += 1
            self.statistics.packets_duplicated += len(arrivals) - 1
            return arrivals[0]
        resent_ns = sent_ns + path.round_trip_ns + _REORDER_GUARD_NS
        while resent_ns <= sent_ns + _GIVE_UP_NS:
            self.statistics.nacks_sent += 1
            arrival_ns = path.retransmitted(resent_ns)
            if arrival_ns is not None:
                self.statistics.packets_received += 1
                self.statistics.packets_recovered += 1
                return arrival_ns
            resent_ns += _NACK_INTERVAL_NS
        self.statistics.packets_lost += 1
        return None

    def _break(self, sent_ns: int, path: Impairment) -> None:
        self.statistics.frames_dropped += 1
        self._last_ns = max(self._last_ns, sent_ns + _GIVE_UP_NS)
        if self._request_ns is None:
            self._request_ns = sent_ns + _GIVE_UP_NS + path.round_trip_ns // 2
        self._needs_keyframe = True
