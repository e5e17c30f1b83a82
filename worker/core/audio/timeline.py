"""One audio track on the output's grid: packets by timestamp in, blocks of 20 ms out.

A sample's place is where the clock map says it was captured, never when it arrived. The
sender's drift is stretched away; only real breaks of time are jumped.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.gapless import (
    FADE_IN,
    FADE_IN_SAMPLES,
    Decoder,
    GaplessSound,
    TimelineStatistics,
)
from worker.core.audio.packets import PacketQueue
from worker.core.drift import REANCHOR, correction
from worker.core.stretch import MARGIN, stretch
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ

_CUT = FADE_IN[::-1, None].copy()


class AudioTimeline:
    """Blocks of one track. One owner; packets may be pushed at any time between blocks.

    *capture_ns* is the clock map's query for this track: (epoch, timestamp) to the instant on our
    clock, or None when it knows nothing of that epoch.
    """

    def __init__(self, decoder: Decoder, capture_ns: Callable[[int, int], int | None]) -> None:
        self._capture_ns = capture_ns
        self._statistics = TimelineStatistics()
        self._sound = GaplessSound(decoder, self._statistics)
        self._epoch: int | None = None
        self._coming: tuple[int, PacketQueue] | None = None
        self._position = 0
        """Sender's sample that the next block begins with."""
        self._cut_tail: NDArray[np.float32] | None = None
        self._muted = False

    @property
    def statistics(self) -> TimelineStatistics:
        return self._statistics

    @property
    def waiting_packets(self) -> int:
        return len(self._sound.packets) + (len(self._coming[1]) if self._coming else 0)

    def push(self, epoch: int, rtp_timestamp: int, data: bytes) -> None:
        """Keep a packet until its block comes. Holds 2 s per epoch, drops the oldest."""
        if self._epoch is None:
            self._epoch = epoch
        if epoch < self._epoch:
            self._statistics.packets_late += 1
        elif epoch == self._epoch:
            self._push(self._sound.packets, rtp_timestamp, data)
        else:
            if self._coming is None or self._coming[0] < epoch:
                self._statistics.packets_dropped += len(self._coming[1]) if self._coming else 0
                self._coming = (epoch, PacketQueue())
            if self._coming[0] == epoch:
                self._push(self._coming[1], rtp_timestamp, data)

    def block(self, start_ns: int) -> NDArray[np.float32] | None:
        """The block that was captured in [start, start + 20 ms) on our clock.

        Blocks are asked for in order, each once. Returns (960, 1 or 2) float32 that belongs to
        the caller, or None for silence.
        """
        self._enter_coming_epoch(start_ns)
        wanted = self._wanted_position(start_ns)
        if wanted is None or self._muted:
            if wanted is not None:
                passed = round(wanted) + BLOCK_SAMPLES
                self._sound.packets.drop_before(passed - self._sound.packet_samples + 1)
            return self._silence()
        consumed = BLOCK_SAMPLES
        error = wanted - self._position
        if self._is_drained():
            self._position = round(wanted)
            self._sound.restart(self._position)
            if not self._sound.has_packet_before(self._position + consumed):
                return self._silence()
        elif abs(error) > REANCHOR:
            self._reanchor(round(wanted))
        else:
            consumed += correction(error)
        block = self._take(consumed)
        self._add_cut_tail(block)
        return block

    def mute(self) -> None:
        """Fade out at the next block and play nothing until `unmute`."""
        self._muted = True
        self._cut()

    def unmute(self) -> None:
        """Play again, from the next block on."""
        self._muted = False

    def clear(self) -> None:
        """Fade out at the next block and forget all packets; later ones are played again."""
        self._cut()
        self._sound.packets.clear()
        self._coming = None

    def _push(self, packets: PacketQueue, rtp_timestamp: int, data: bytes) -> None:
        duplicated, dropped = packets.duplicated, packets.dropped
        packets.push(rtp_timestamp, data)
        self._statistics.packets_duplicated += packets.duplicated - duplicated
        self._statistics.packets_dropped += packets.dropped - dropped

    def _enter_coming_epoch(self, start_ns: int) -> None:
        if self._coming is None:
            return
        epoch, packets = self._coming
        first = packets.first()
        begins_ns = None if first is None else self._capture_ns(epoch, first)
        if begins_ns is None or begins_ns >= start_ns + BLOCK_NS:
            return
        self._cut()
        self._statistics.packets_dropped += len(self._sound.packets)
        self._epoch, self._sound.packets, self._coming = epoch, packets, None

    def _wanted_position(self, start_ns: int) -> float | None:
        """The sender's sample that was captured at *start_ns*."""
        reference = self._sound.packets.first() if self._is_drained() else self._position
        if reference is None or self._epoch is None:
            return None
        captured_ns = self._capture_ns(self._epoch, reference)
        if captured_ns is None:
            return None
        return reference + (start_ns - captured_ns) * SAMPLE_RATE_HZ / NS_PER_S

    def _is_drained(self) -> bool:
        """Nothing of what was decoded or concealed is left to play."""
        return self._sound.is_silent and self._sound.ring.end <= self._position

    def _take(self, consumed: int) -> NDArray[np.float32]:
        ring = self._sound.ring
        begin, end = self._position, self._position + consumed
        if consumed == BLOCK_SAMPLES:
            self._sound.fill(end)
            block = ring.read(begin, end)
        else:
            self._sound.fill(end + MARGIN)
            block = stretch(ring.read(begin - MARGIN, end + MARGIN), consumed)
            self._statistics.stretched_blocks += 1
        self._position = end
        ring.discard_before(end)
        return block

    def _reanchor(self, position: int) -> None:
        """Jump: the old sound is cut short, the new one fades in."""
        self._statistics.reanchors += 1
        ring = self._sound.ring
        if position >= ring.end:
            self._cut()
            self._sound.restart(position)
        else:
            self._keep_tail()
            ring.forget_before(self._position)
            ring.scale(max(position, ring.start), FADE_IN)
        self._position = position

    def _cut(self) -> None:
        """Stop the sound at the position, but for a short fade."""
        if not self._is_drained():
            self._keep_tail()
        self._sound.restart(self._position)

    def _keep_tail(self) -> None:
        end = self._position + FADE_IN_SAMPLES
        self._sound.fill(end)
        tail = self._sound.ring.read(self._position, end)
        self._cut_tail = tail * _CUT

    def _silence(self) -> NDArray[np.float32] | None:
        if self._cut_tail is None:
            self._statistics.silent_blocks += 1
            return None
        block = np.zeros((BLOCK_SAMPLES, self._cut_tail.shape[1]), np.float32)
        self._add_cut_tail(block)
        return block

    def _add_cut_tail(self, block: NDArray[np.float32]) -> None:
        if self._cut_tail is not None:
            block[:FADE_IN_SAMPLES] += self._cut_tail
            self._cut_tail = None
