"""One audio track between two threads: the loop's, where packets arrive, and the sound lane's."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.timeline import AudioTimeline
from worker.core.clockmap import ClockMap
from worker.core.identity import Track
from worker.core.timing import SAMPLE_RATE_HZ
from worker.ports import AudioDecoder, EncodedFrame

WAITING_PACKETS = 250
"""Five seconds between two batches of the sound lane; beyond that the oldest go."""

EPOCHS = 3


@dataclass(frozen=True, slots=True)
class _Line:
    """A clock map frozen for one epoch: `ns` is `rtp`, and the sender's samples last `step_ns`."""

    rtp: int
    ns: int
    step_ns: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What the loop hands to the sound thread for one batch of blocks."""

    packets: tuple[EncodedFrame, ...]
    lines: dict[int, _Line]
    """By epoch."""


class AudioIngest:
    """`push` and `take` belong to the event loop, `hear` and `block` to the sound thread."""

    def __init__(self, *, track: Track, clock_map: ClockMap, decoder: AudioDecoder) -> None:
        self.track = track
        self.clock_map = clock_map
        self.ended_ns: int | None = None
        self.packets_shed = 0
        self._arrived: deque[EncodedFrame] = deque()
        self._newest: dict[int, int] = {}
        self._lines: dict[int, _Line] = {}
        self._timeline = AudioTimeline(decoder, self._capture_ns)

    def facts(self) -> dict[str, int]:
        """Counters for the result."""
        statistics = self._timeline.statistics
        return {
            "packets_late": statistics.packets_late,
            "packets_damaged": statistics.packets_damaged,
            "packets_rebuilt": statistics.packets_recovered,
            "concealed_ms": statistics.concealed_ms,
            "stretched_blocks": statistics.stretched_blocks,
        }

    def push(self, frame: EncodedFrame) -> None:
        """Keep a packet that arrived until the next batch."""
        if len(self._arrived) >= WAITING_PACKETS:
            self._arrived.popleft()
            self.packets_shed += 1
        self._arrived.append(frame)
        self._newest[frame.epoch] = frame.rtp_timestamp
        if len(self._newest) > EPOCHS:
            del self._newest[min(self._newest)]

    def take(self) -> Heard:
        """Everything since the last batch, and where timestamps lie on our clock right now."""
        packets = tuple(self._arrived)
        self._arrived.clear()
        lines = {
            epoch: line
            for epoch, rtp in self._newest.items()
            if (line := self._line(epoch, rtp)) is not None
        }
        return Heard(packets, lines)

    def hear(self, heard: Heard) -> None:
        """Take over a batch's packets."""
        self._lines = heard.lines
        for packet in heard.packets:
            self._timeline.push(packet.epoch, packet.rtp_timestamp, packet.data)

    def block(self, start_ns: int) -> NDArray[np.float32] | None:
        """The block of room time *start_ns*: (960, 1 or 2) float32, None for silence."""
        return self._timeline.block(start_ns)

    def _line(self, epoch: int, rtp: int) -> _Line | None:
        at_ns = self.clock_map.capture_ns(self.track.track_id, epoch, rtp)
        later_ns = self.clock_map.capture_ns(self.track.track_id, epoch, rtp + SAMPLE_RATE_HZ)
        if at_ns is None or later_ns is None:
            return None
        return _Line(rtp, at_ns, (later_ns - at_ns) / SAMPLE_RATE_HZ)

    def _capture_ns(self, epoch: int, rtp: int) -> int | None:
        line = self._lines.get(epoch)
        return None if line is None else line.ns + round((rtp - line.rtp) * line.step_ns)
