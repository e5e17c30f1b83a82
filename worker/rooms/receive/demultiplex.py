"""Which track a packet belongs to: by SSRC, else MID, else payload type (RFC 8843, 9.2)."""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.timing import NS_PER_S
from worker.rooms.media import MID_URI, NegotiatedMedia
from worker.rooms.rtp.packet import RtpPacket, header_extension

MAX_LEARNT_SSRCS = 64
IDLE_NS = 10 * NS_PER_S


@dataclass(slots=True)
class _Binding:
    track_id: TrackId
    used_ns: int
    is_signalled: bool


class Demultiplexer:
    """Learns SSRCs; announced ones are known from the start."""

    def __init__(self) -> None:
        self.is_changing = False
        """An offer is not answered yet: what it adds can arrive before we know of it, so a payload
        type tells nothing, though only one track has it so far."""
        self._bindings: dict[int, _Binding] = {}
        self._by_mid: dict[bytes, TrackId] = {}
        self._by_payload_type: dict[int, set[TrackId]] = {}
        self._mid_extension: int | None = None

    def set_media(self, media: Iterable[tuple[TrackId, NegotiatedMedia]]) -> None:
        """Take what was negotiated; SSRCs of tracks that stay remain bound."""
        entries = list(media)
        tracks = {track_id for track_id, _ in entries}
        self._bindings = {
            ssrc: binding
            for ssrc, binding in self._bindings.items()
            if binding.track_id in tracks and not binding.is_signalled
        }
        self._by_mid = {entry.mid.encode(): track_id for track_id, entry in entries}
        self._by_payload_type = {}
        self._mid_extension = None
        for track_id, entry in entries:
            self._mid_extension = entry.extensions.get(MID_URI, self._mid_extension)
            for ssrc in (*entry.ssrcs, *entry.rtx_ssrcs):
                self._bindings[ssrc] = _Binding(track_id, 0, is_signalled=True)
            for codec in entry.codecs:
                for payload_type in codec.payload_types:
                    self._by_payload_type.setdefault(payload_type, set()).add(track_id)

    def route(self, packet: RtpPacket, arrival_ns: int) -> TrackId | None:
        """The packet's track; None when nothing tells, or too many SSRCs are in use."""
        binding = self._bindings.get(packet.ssrc)
        if binding is None:
            track_id = self._guess(packet)
            if track_id is None or not self._has_room(arrival_ns):
                return None
            binding = self._bindings[packet.ssrc] = _Binding(track_id, 0, is_signalled=False)
        binding.used_ns = arrival_ns
        return binding.track_id

    def track_of(self, ssrc: int) -> TrackId | None:
        """The track *ssrc* is known to belong to."""
        binding = self._bindings.get(ssrc)
        return binding.track_id if binding is not None else None

    def _guess(self, packet: RtpPacket) -> TrackId | None:
        if self._mid_extension is not None and packet.extensions:
            mid = header_extension(packet, self._mid_extension)
            if mid is not None:
                return self._by_mid.get(mid)
        if self.is_changing:
            return None
        candidates = self._by_payload_type.get(packet.payload_type, set())
        return next(iter(candidates)) if len(candidates) == 1 else None

    def _has_room(self, now_ns: int) -> bool:
        learnt = [ssrc for ssrc, entry in self._bindings.items() if not entry.is_signalled]
        if len(learnt) < MAX_LEARNT_SSRCS:
            return True
        idle = min(learnt, key=lambda ssrc: self._bindings[ssrc].used_ns)
        if now_ns - self._bindings[idle].used_ns < IDLE_NS:
            return False
        del self._bindings[idle]
        return True
