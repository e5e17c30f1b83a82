"""Packets of one video SSRC to frames, in order and without gaps.

Packets wait until everything before them is there. A gap that is given up costs everything up
to the next keyframe; while one is needed, its first packet makes all older packets pointless.
"""

from collections.abc import Callable
from dataclasses import dataclass

from worker.rooms.rtp.frames import VideoFormat
from worker.rooms.rtp.packet import RtpPacket

MAX_PACKETS = 2048
MAX_BYTES = 4 * 1024 * 1024
"""Per stream, waiting for older packets or for the rest of a frame; then the gap is given up."""


@dataclass(frozen=True, slots=True)
class GatheredFrame:
    """The packets of one frame, in order, without empty ones."""

    packets: list[RtpPacket]
    arrival_ns: int
    """When the last of them came."""


class FrameAssembler:
    """Gathers the frames of one SSRC; sequence numbers are unwrapped ones."""

    def __init__(self, first: int, *, format_of: Callable[[RtpPacket], VideoFormat | None]) -> None:
        """*first* is the oldest packet that may still come; a keyframe or `give_up` moves on to
        what is there. *format_of* gives the format of a payload type, None when it is unknown.
        """
        self.needs_keyframe = True
        """Whoever decodes the frames clears it with a keyframe and sets it after a bad frame."""
        self.frames_dropped = 0
        self._format_of = format_of
        self._waiting: dict[int, tuple[RtpPacket, int]] = {}
        self._bytes = 0
        self._start = first  # the first packet of the frame being gathered
        self._head = first  # the first packet that isn't there
        self._is_boundary = False  # a frame certainly begins at _start
        self._last_dropped: int | None = None
        self._complete: list[GatheredFrame] = []

    @property
    def start(self) -> int:
        """Older packets are of no use any more."""
        return self._start

    @property
    def is_waiting_for(self) -> int | None:
        """The packet that holds up others; None when nothing is held up."""
        return self._head if len(self._waiting) > self._head - self._start else None

    def holes(self, end: int) -> list[int]:
        """What is not there of everything from `start` up to *end*."""
        return [number for number in range(self._head, end) if number not in self._waiting]

    def insert(self, sequence: int, packet: RtpPacket, arrival_ns: int) -> bool:
        """Add a packet that was not added before; False when it comes too late."""
        if sequence < self._start:
            return False
        self._waiting[sequence] = (packet, arrival_ns)
        self._bytes += len(packet.payload)
        if self.needs_keyframe and sequence > self._start and self._begins_keyframe(sequence):
            self._skip_to(sequence, is_boundary=True)
        self._advance()
        if len(self._waiting) > MAX_PACKETS or self._bytes > MAX_BYTES:
            self._make_room()
        return True

    def take(self) -> list[GatheredFrame]:
        """Frames completed since the last call, in order."""
        complete = self._complete
        if complete:
            self._complete = []
        return complete

    def give_up(self) -> None:
        """Don't wait for what holds things up any longer."""
        waiting = self.is_waiting_for
        if waiting is None:
            return
        self.needs_keyframe = True
        self._skip_to(
            min(sequence for sequence in self._waiting if sequence > waiting), is_boundary=False
        )
        self._seek_keyframe()
        self._advance()

    def restart_at(self, sequence: int) -> None:
        """Forget everything older than *sequence*, which begins anywhere in a frame."""
        self.needs_keyframe = True
        self._skip_to(sequence, is_boundary=False)

    def _advance(self) -> None:
        waiting = self._waiting
        while (entry := waiting.get(self._head)) is not None:
            packet = entry[0]
            if self._head > self._start:
                first = waiting[self._start][0]
                if first.timestamp != packet.timestamp:
                    self._finish()  # no marker, but evidently a new frame
            self._head += 1
            if packet.marker:
                self._finish()

    def _finish(self) -> None:
        packets = []
        arrival_ns = 0
        for sequence in range(self._start, self._head):
            packet, came_ns = self._waiting.pop(sequence)
            self._bytes -= len(packet.payload)
            if packet.payload:
                packets.append(packet)
                arrival_ns = max(arrival_ns, came_ns)
        was_boundary = self._is_boundary
        self._start = self._head
        self._is_boundary = True
        if not packets:
            return  # padding
        if was_boundary or not self.needs_keyframe or self._surely_begins(packets[0]):
            self._complete.append(GatheredFrame(packets, arrival_ns))
        else:
            self._count_drop(packets[0].timestamp)

    def _count_drop(self, timestamp: int) -> None:
        """Once per frame, also when its pieces are dropped one after the other."""
        if timestamp != self._last_dropped:
            self.frames_dropped += 1
        self._last_dropped = timestamp

    def _skip_to(self, sequence: int, *, is_boundary: bool) -> None:
        old = [number for number in self._waiting if number < sequence]
        for number in sorted(old):
            packet, _ = self._waiting.pop(number)
            self._bytes -= len(packet.payload)
            if packet.payload:
                self._count_drop(packet.timestamp)
        self._start = self._head = sequence
        self._is_boundary = is_boundary

    def _seek_keyframe(self) -> None:
        for sequence in sorted(self._waiting):
            if self._begins_keyframe(sequence):
                self._skip_to(sequence, is_boundary=True)
                return

    def _make_room(self) -> None:
        if self.is_waiting_for is not None:
            self.give_up()
        else:
            self.restart_at(self._head)  # a frame without end

    def _surely_begins(self, packet: RtpPacket) -> bool:
        video_format = self._format_of(packet)
        return video_format is not None and video_format.starts_frame(packet.payload)

    def _begins_keyframe(self, sequence: int) -> bool:
        """Whether *sequence* is certainly the first packet of a keyframe."""
        packet = self._waiting[sequence][0]
        video_format = self._format_of(packet)
        if video_format is None or not video_format.starts_keyframe(packet.payload):
            return False
        before = self._waiting.get(sequence - 1)
        if before is None:
            return video_format.starts_frame(packet.payload)
        return before[0].marker or before[0].timestamp != packet.timestamp
