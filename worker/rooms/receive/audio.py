"""One SSRC of Opus: every packet leaves as it comes; order and gaps are the decoder's business.

Of redundant packets (RFC 2198) the copies leave too, unless what they copy has left before.
"""

from collections.abc import Callable, Mapping

from worker.core.identity import Codec, TrackId
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.receive.doze import Doze
from worker.rooms.receive.source import Source
from worker.rooms.receive.timeline import Timeline
from worker.rooms.rtp.packet import BadPacket, RtpPacket, audio_level_dbov
from worker.rooms.rtp.red import split_red

REMEMBERED_FRAMES = 256
"""Copies reach back a third of a second: 136 of the shortest Opus packets."""


class AudioStream:
    """Delivers packets of one SSRC and asks for lost ones where the sender keeps them."""

    def __init__(
        self,
        source: Source,
        *,
        track_id: TrackId,
        timeline: Timeline,
        red: Mapping[int, int],
        level_extension: int | None,
        doze: Doze | None,
        statistics: TrackStatistics,
        on_frame: Callable[[EncodedFrame], None],
    ) -> None:
        """*red* maps payload types of redundant packets to those of their blocks; the caller may
        change it when it negotiates anew. *doze* tells what never came here because it is silence.
        """
        self.source = source
        self.timeline = timeline
        self._track_id = track_id
        self._red = red
        self._level_extension = level_extension
        self._doze = doze
        self._statistics = statistics
        self._on_frame = on_frame
        self._delivered: dict[tuple[int, int], None] = {}
        """Epoch and timestamp of the latest frames, oldest first; kept only if copies may come."""

    def receive(
        self, packet: RtpPacket, codec: Codec | None, arrival_ns: int, *, is_retransmission: bool
    ) -> None:
        """Take one packet; of an unknown codec it is only counted."""
        if self._doze is not None and (passed := self._doze.passed()):
            self.source.pass_over(passed)
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
        level = (
            None
            if self._level_extension is None
            else audio_level_dbov(packet, self._level_extension)
        )
        if not self._red:
            self._deliver(packet.payload, codec, timestamp, arrival_ns, level)
            return
        try:
            frames = self._frames(packet)
        except BadPacket:
            self._statistics.packets_discarded += 1
            return
        for age, payload in frames:
            if self._is_new(timestamp - age):
                self._deliver(payload, codec, timestamp - age, arrival_ns, level)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waited for."""
        return not len(self.source.missing)

    def poll(self, now_ns: int) -> None:
        """Give up what is overdue."""
        missing = self.source.missing
        if len(missing) and (overdue := missing.overdue(now_ns)):
            self.source.give_up_before(overdue[-1] + 1)

    def _frames(self, packet: RtpPacket) -> list[tuple[int, bytes]]:
        """Age in ticks and payload of each frame in *packet*, its own last."""
        repeated = self._red.get(packet.payload_type)
        if repeated is None:
            return [(0, packet.payload)]
        blocks = split_red(packet.payload)
        return [(block.age, block.payload) for block in blocks if block.payload_type == repeated]

    def _is_new(self, timestamp: int) -> bool:
        """Whether nothing was delivered for *timestamp* yet; from now on something was."""
        delivered, key = self._delivered, (self.timeline.epoch, timestamp)
        if timestamp < 0 or key in delivered:
            return False
        delivered[key] = None
        if len(delivered) > REMEMBERED_FRAMES:
            del delivered[next(iter(delivered))]
        return True

    def _deliver(
        self, data: bytes, codec: Codec, timestamp: int, arrival_ns: int, level_dbov: int | None
    ) -> None:
        self._statistics.frames_received += 1
        self._on_frame(
            EncodedFrame(
                track_id=self._track_id,
                codec=codec,
                epoch=self.timeline.epoch,
                rtp_timestamp=timestamp,
                arrival_ns=arrival_ns,
                keyframe=True,
                data=data,
                # Copies have none of their own: that of the packet is 20 ms off.
                level_dbov=level_dbov,
            )
        )
