"""One SSRC of Opus: every packet leaves as it comes; order and gaps are the decoder's business."""

from collections.abc import Callable

from worker.core.identity import Codec, TrackId
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.receive.source import Source
from worker.rooms.receive.timeline import Timeline
from worker.rooms.rtp.packet import RtpPacket, header_extension


class AudioStream:
    """Delivers packets of one SSRC and asks for lost ones where the sender keeps them."""

    def __init__(
        self,
        source: Source,
        *,
        track_id: TrackId,
        timeline: Timeline,
        level_extension: int | None,
        statistics: TrackStatistics,
        on_frame: Callable[[EncodedFrame], None],
    ) -> None:
        self.source = source
        self.timeline = timeline
        self._track_id = track_id
        self._level_extension = level_extension
        self._statistics = statistics
        self._on_frame = on_frame

    def receive(
        self, packet: RtpPacket, codec: Codec | None, arrival_ns: int, *, is_retransmission: bool
    ) -> None:
        """Take one packet; of an unknown codec it is only counted."""
        admitted = self.source.admit(packet, arrival_ns, is_retransmission=is_retransmission)
        if admitted is None:
            return
        _, is_newest = admitted
        if not packet.payload or codec is None:
            return
        timestamp = self.timeline.place(packet.timestamp, arrival_ns, is_newest=is_newest)
        if timestamp is None:
            self._statistics.packets_discarded += 1
            return
        self._statistics.frames_received += 1
        self._on_frame(
            EncodedFrame(
                track_id=self._track_id,
                codec=codec,
                epoch=self.timeline.epoch,
                rtp_timestamp=timestamp,
                arrival_ns=arrival_ns,
                keyframe=True,
                data=packet.payload,
                level_dbov=self._level(packet),
            )
        )

    def poll(self, now_ns: int) -> None:
        """Give up what is overdue."""
        missing = self.source.missing
        if len(missing) and (overdue := missing.overdue(now_ns)):
            self.source.give_up_before(overdue[-1] + 1)

    def _level(self, packet: RtpPacket) -> int | None:
        if self._level_extension is None:
            return None
        value = header_extension(packet, self._level_extension)
        # RFC 6464 section 3: seven bits of -dBov below the voice activity flag.
        return -(value[0] & 0x7F) if value else None
