"""One SSRC of video: whole frames in order, never across a gap."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from worker.core.identity import Codec, TrackId
from worker.core.timing import NS_PER_MS
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.receive.assembler import FrameAssembler, GatheredFrame
from worker.rooms.receive.keyframes import START_GRACE_NS, KeyframeRequests
from worker.rooms.receive.source import Source
from worker.rooms.receive.timeline import Timeline
from worker.rooms.rtp.frames import VideoFormat
from worker.rooms.rtp.h264 import H264Format
from worker.rooms.rtp.packet import BadPacket, RtpPacket, header_extension
from worker.rooms.rtp.vp8 import Vp8Format
from worker.rooms.rtp.vp9 import Vp9Format

MAX_OVERTAKEN = 16
START_GUARD_NS = 50 * NS_PER_MS
"""How many packets before the first one may still come, and how long they are waited for. Where
the network reorders, the first packet to come is not the first of the first keyframe."""

FORMATS: Mapping[Codec, Callable[[], VideoFormat]] = {
    Codec.VP8: Vp8Format,
    Codec.VP9: Vp9Format,
    Codec.H264: H264Format,
}


class _Formats:
    """The formats of one stream, which remember what they have seen of it."""

    def __init__(self, codecs: Mapping[int, Codec]) -> None:
        self._codecs = codecs
        self._formats: dict[Codec, VideoFormat] = {}

    def of(self, packet: RtpPacket) -> VideoFormat | None:
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return None
        video_format = self._formats.get(codec)
        if video_format is None and codec in FORMATS:
            video_format = self._formats[codec] = FORMATS[codec]()
        return video_format


class VideoStream:
    """Delivers the frames of one SSRC; after a loss nothing until the next keyframe."""

    def __init__(
        self,
        source: Source,
        *,
        track_id: TrackId,
        timeline: Timeline,
        codecs: Mapping[int, Codec],
        rotation_extension: int | None,
        keyframes: KeyframeRequests,
        statistics: TrackStatistics,
        on_frame: Callable[[EncodedFrame], None],
        now_ns: int,
    ) -> None:
        """*codecs* maps payload types; the caller may extend it when it negotiates anew."""
        self.source = source
        self.timeline = timeline
        self._track_id = track_id
        self._codecs = codecs
        self._rotation_extension = rotation_extension
        self._rotation = 0
        self._keyframes = keyframes
        self._statistics = statistics
        self._on_frame = on_frame
        self._codec: Codec | None = None
        """Of the latest keyframe."""
        self._formats = _Formats(codecs)
        self._dropped_before = statistics.frames_dropped
        self._first = source.numbers.newest + 1 - MAX_OVERTAKEN
        self._assembler = FrameAssembler(self._first, format_of=self._formats.of)
        self._guard_end_ns: int | None = now_ns + START_GUARD_NS
        keyframes.need(now_ns + START_GRACE_NS)

    def receive(
        self, packet: RtpPacket, codec: Codec | None, arrival_ns: int, *, is_retransmission: bool
    ) -> None:
        """Take one packet; of an unknown codec it only fills its place in the sequence."""
        source, assembler = self.source, self._assembler
        admitted = source.admit(packet, arrival_ns, is_retransmission=is_retransmission)
        if admitted is None:
            return
        sequence, _ = admitted
        if codec is None:
            packet = replace(packet, payload=b"", marker=False)
        if source.is_beyond_repair:
            source.is_beyond_repair = False
            assembler.restart_at(sequence)
            self._keyframes.need(arrival_ns)
        if not assembler.insert(sequence, packet, arrival_ns):
            self._statistics.packets_discarded += 1
            return
        self._deliver(arrival_ns)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waited for."""
        return self._guard_end_ns is None and not len(self.source.missing)

    def poll(self, now_ns: int) -> None:
        """Give up what is overdue."""
        missing, assembler = self.source.missing, self._assembler
        if self._guard_end_ns is not None and self._guard_end_ns <= now_ns:
            assembler.give_up()
            self._deliver(now_ns)
        if missing.is_hopeless(now_ns):
            self._keyframes.need(now_ns)
        while missing.deadline_ns() <= now_ns:
            assembler.give_up()
            self.source.give_up_before(max(assembler.start, missing.oldest + 1))
            self._keyframes.need(now_ns)
            self._deliver(now_ns)

    def _deliver(self, now_ns: int) -> None:
        assembler = self._assembler
        for gathered in assembler.take():
            self._deliver_frame(gathered, now_ns)
        if self._guard_end_ns is not None and assembler.start > self._first:
            self._guard_end_ns = None
            holes = assembler.holes(self.source.numbers.newest)
            self.source.missing.notice_holes(holes, now_ns)
        if len(self.source.missing) and self.source.missing.oldest < assembler.start:
            self.source.give_up_before(assembler.start)
        self._statistics.frames_dropped = self._dropped_before + assembler.frames_dropped

    def _deliver_frame(self, gathered: GatheredFrame, now_ns: int) -> None:
        assembler = self._assembler
        first, last = gathered.packets[0], gathered.packets[-1]
        codec = self._codecs.get(first.payload_type)
        video_format = self._formats.of(first)
        try:
            if codec is None or video_format is None:
                raise BadPacket("payload type without a codec")
            frame = video_format.assemble([packet.payload for packet in gathered.packets])
        except BadPacket:
            assembler.frames_dropped += 1
            assembler.needs_keyframe = True
            self._keyframes.need(now_ns)
            return
        if frame.is_keyframe:
            assembler.needs_keyframe = False
            self._keyframes.satisfied()
            self._codec = codec
        elif codec is not self._codec and not assembler.needs_keyframe:
            # The sender went over to another codec, and its first frame did not come.
            assembler.frames_dropped += 1
            assembler.needs_keyframe = True
            self._keyframes.need(now_ns)
            return
        elif assembler.needs_keyframe:
            assembler.frames_dropped += 1
            return
        else:
            self._keyframes.withdraw()
        self._statistics.frames_received += 1
        timestamp = self.timeline.place(first.timestamp, gathered.arrival_ns, is_newest=True)
        assert timestamp is not None  # only packets out of order can be without a place
        self._on_frame(
            EncodedFrame(
                track_id=self._track_id,
                codec=codec,
                epoch=self.timeline.epoch,
                rtp_timestamp=timestamp,
                arrival_ns=gathered.arrival_ns,
                keyframe=frame.is_keyframe,
                data=frame.data,
                size=frame.size,
                rotation=self._read_rotation(last),
            )
        )

    def _read_rotation(self, last: RtpPacket) -> int:
        """Degrees clockwise to turn the picture (3GPP TS 26.114, 7.4.5); kept until it changes."""
        if self._rotation_extension is not None and last.extensions:
            value = header_extension(last, self._rotation_extension)
            if value:
                self._rotation = 90 * (value[0] & 3)
        return self._rotation
