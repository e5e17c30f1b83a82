"""One audio track between two threads: the loop's, where packets arrive, and the sound lane's."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.claim import SILENT_DBOV, Claim
from worker.core.audio.timeline import WARM_UP, AudioTimeline
from worker.core.clockmap import ClockMap
from worker.core.identity import Track
from worker.core.timing import BLOCK_NS, NS_PER_MS, NS_PER_S, SAMPLE_RATE_HZ
from worker.ports import AudioDecoder, EncodedFrame

WAITING_PACKETS = 500
"""Ten seconds of sound, twice what a lane that is far too slow falls behind; beyond that the oldest
go."""

EPOCHS = 3

PAST_NS = WARM_UP * NS_PER_S // SAMPLE_RATE_HZ + 100 * NS_PER_MS
"""Packets of a track that is not decoded are kept this long beyond their room time, so that its
decoder can warm up once it is; 100 ms are spare."""

MUTES = 64
"""Changes of a microphone between two batches; beyond that the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A clock map frozen for one epoch: `ns` is `rtp`, and the sender's samples last `step_ns`."""

    rtp: int
    ns: int
    step_ns: float


@dataclass(slots=True)
class _Lines:
    """What the timeline asks; no part of the ingest, so that nothing of it outlives its use."""

    by_epoch: dict[int, _Line] = field(default_factory=dict)

    def capture_ns(self, epoch: int, rtp: int) -> int | None:
        line = self.by_epoch.get(epoch)
        return None if line is None else line.ns + round((rtp - line.rtp) * line.step_ns)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the loop hands to the sound thread for one batch of blocks."""

    packets: tuple[EncodedFrame, ...]
    lines: dict[int, _Line]
    """By epoch."""
    mutes: tuple[tuple[int, bool], ...]
    """Room time, ns, and whether the microphone is muted from then on."""


class AudioIngest:
    """`hear`, `blocks` and `rest` belong to the sound thread, all else to the event loop."""

    def __init__(self, *, track: Track, clock_map: ClockMap, decoder: AudioDecoder) -> None:
        self.track = track
        self.clock_map = clock_map
        self.ended_ns: int | None = None
        self.packets_shed = 0
        self.claim = Claim(track.track_id, track.participant_id)
        self._arrived: deque[EncodedFrame] = deque()
        self._unweighed: deque[EncodedFrame] = deque(maxlen=WAITING_PACKETS)
        self._is_muted = False
        self._mutes: deque[tuple[int, bool]] = deque(maxlen=MUTES)
        self._newest: dict[int, int] = {}
        self._lines = _Lines()
        self._timeline = AudioTimeline(decoder, self._lines.capture_ns)
        self._pending_mutes: deque[tuple[int, bool]] = deque(maxlen=MUTES)

    def facts(self) -> dict[str, int]:
        """Counters for the result."""
        statistics = self._timeline.statistics
        return {
            "packets_decoded": statistics.packets_decoded,
            "packets_late": statistics.packets_late,
            "packets_shed": self.packets_shed + statistics.packets_dropped,
            "packets_damaged": statistics.packets_damaged,
            "packets_rebuilt": statistics.packets_recovered,
            "concealed_ms": statistics.concealed_ms,
            "stretched_blocks": statistics.stretched_blocks,
            "spliced_blocks": statistics.spliced_blocks,
        }

    def push(self, frame: EncodedFrame) -> None:
        """Keep a packet that arrived until the next batch."""
        if len(self._arrived) >= WAITING_PACKETS:
            self._arrived.popleft()
            self.packets_shed += 1
        self._arrived.append(frame)
        self._unweighed.append(frame)
        self._newest[frame.epoch] = frame.rtp_timestamp
        if len(self._newest) > EPOCHS:
            del self._newest[min(self._newest)]

    def mute(self, room_ns: int, *, muted: bool) -> None:
        """The publisher muted or opened the microphone at *room_ns*."""
        self._is_muted = muted
        self._mutes.append((room_ns, muted))

    def weigh(self, until_ns: int) -> None:
        """Bring `claim` up to the packets that had arrived by *until_ns*."""
        waiting = self._unweighed
        while waiting and waiting[0].arrival_ns <= until_ns:
            frame = waiting.popleft()
            level_dbov = SILENT_DBOV if self._is_muted else frame.level_dbov
            self.claim.follow(frame.rtp_timestamp, level_dbov, frame.arrival_ns)

    def skip(self, room_ns: int) -> None:
        """Nobody will hear the track at *room_ns*: forget what not even a warm-up needs."""
        waiting = self._arrived
        while waiting and waiting[0].arrival_ns < room_ns - PAST_NS:
            waiting.popleft()

    def take(self, until_ns: int) -> Heard:
        """What has come by *until_ns*, and where timestamps lie on our clock right now."""
        waiting = self._arrived
        packets: list[EncodedFrame] = []
        while waiting and waiting[0].arrival_ns <= until_ns:
            packets.append(waiting.popleft())
        lines = {
            epoch: line
            for epoch, rtp in self._newest.items()
            if (line := self._line(epoch, rtp)) is not None
        }
        mutes = tuple(self._mutes)
        self._mutes.clear()
        return Heard(tuple(packets), lines, mutes)

    def hear(self, heard: Heard) -> None:
        """Take over a batch's packets."""
        self._lines.by_epoch = heard.lines
        self._pending_mutes.extend(heard.mutes)
        for packet in heard.packets:
            self._timeline.push(packet.epoch, packet.rtp_timestamp, packet.data)

    def blocks(self, start_ns: int, count: int) -> list[NDArray[np.float32] | None]:
        """*count* blocks from room time *start_ns* on: (960, 1 or 2) float32, None for silence."""
        if not self._pending_mutes:
            return self._timeline.blocks(start_ns, count)
        blocks: list[NDArray[np.float32] | None] = []
        for at_ns in range(start_ns, start_ns + count * BLOCK_NS, BLOCK_NS):
            self._mute_until(at_ns)
            blocks.append(self._timeline.block(at_ns))
        return blocks

    def rest(self) -> None:
        """No blocks will be asked for until further notice."""
        self._timeline.rest()

    def _mute_until(self, room_ns: int) -> None:
        """Apply the changes that are due at the block of *room_ns*."""
        while self._pending_mutes and self._pending_mutes[0][0] < room_ns + BLOCK_NS:
            _, muted = self._pending_mutes.popleft()
            if muted:
                self._timeline.mute()
            else:
                self._timeline.unmute()

    def _line(self, epoch: int, rtp: int) -> _Line | None:
        at_ns = self.clock_map.capture_ns(self.track.track_id, epoch, rtp)
        later_ns = self.clock_map.capture_ns(self.track.track_id, epoch, rtp + SAMPLE_RATE_HZ)
        if at_ns is None or later_ns is None:
            return None
        return _Line(rtp, at_ns, (later_ns - at_ns) / SAMPLE_RATE_HZ)
