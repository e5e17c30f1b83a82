"""One audio track on the output's grid: packets by timestamp in, blocks of 20 ms out.

A sample's place is where the clock map says it was captured, never when it arrived. The
sender's drift is stretched away, errors above 10 ms are spliced away within a second or two, a
pitch period at a time; only real breaks of time are jumped.
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
from worker.core.audio.splice import BEHIND, MOST_LAG, find_splice, join
from worker.core.drift import correction
from worker.core.stretch import MARGIN, stretch
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ

WARM_UP = 200 * SAMPLE_RATE_HZ // 1000
"""Decoded and thrown away before a track is heard again: Opus needs some packets to find its feet
(RFC 6716, section 4.5: a decoder in the wrong state converges). Half of it does for a steady voice,
not for one that has just become much louder."""
SPLICED = 10 * SAMPLE_RATE_HZ // 1000
"""Samples: an error above this is spliced away, one below stretched away."""
HURRIED = 100 * SAMPLE_RATE_HZ // 1000
"""Samples: above this every block is spliced, else every other one."""
JUMPED = 300 * SAMPLE_RATE_HZ // 1000
"""Samples: an error above this is a break of time, and jumped."""
ALIKE_AT_ONCE = 0.85
ALIKE_PER_BLOCK = 0.4
"""A splice must fit this well, as all voiced sound does; if none does, this much less with every
block: noise has no period, and hides a splice by itself."""

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
        self._is_cold = True
        """The decoder has not followed the track up to here."""
        self._has_rested = False
        """And what waits is from before that: it counts as nothing if it is too old by now."""
        self._spliced_before = 0
        """Blocks since the last splice."""

    @property
    def statistics(self) -> TimelineStatistics:
        return self._statistics

    @property
    def waiting_packets(self) -> int:
        return len(self._sound.packets) + (len(self._coming[1]) if self._coming else 0)

    def push(self, epoch: int, rtp_timestamp: int, data: bytes) -> None:
        """Keep a packet until its block comes. Holds 6 s per epoch, drops the oldest."""
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

    def blocks(self, start_ns: int, count: int) -> list[NDArray[np.float32] | None]:
        """What *count* calls of `block` return, at the cost of one while nothing happens."""
        blocks: list[NDArray[np.float32] | None] = []
        if self._runs_true(start_ns, count):
            begin = end = self._position
            while end < begin + count * BLOCK_SAMPLES and not self._is_drained_at(end):
                end += BLOCK_SAMPLES
                self._sound.fill(end)
            sound = self._advance(begin, end)
            blocks += [
                sound[at : at + BLOCK_SAMPLES] for at in range(0, end - begin, BLOCK_SAMPLES)
            ]
        while len(blocks) < count:
            blocks.append(self.block(start_ns + len(blocks) * BLOCK_NS))
        return blocks

    def block(self, start_ns: int) -> NDArray[np.float32] | None:
        """The block that was captured in [start, start + 20 ms) on our clock.

        Blocks are asked for in order, each once. Returns (960, 1 or 2) float32 that belongs to
        the caller, or None for silence.
        """
        self._enter_coming_epoch(start_ns)
        wanted = self._wanted_position(start_ns)
        if wanted is None or self._muted:
            if wanted is not None:
                self._sound.packets.drop_before(round(wanted) + BLOCK_SAMPLES - WARM_UP)
            return self._silence()
        error = wanted - self._position
        if self._is_drained_at(self._position):
            if not self._begin(round(wanted)):
                return self._silence()
            error = 0.0
        elif abs(error) > JUMPED:
            self._reanchor(round(wanted))
            error = 0.0
        self._spliced_before += 1
        block = self._splice(error) if abs(error) > SPLICED else self._take(error)
        self._add_cut_tail(block)
        return block

    def mute(self) -> None:
        """Fade out at the next block and play nothing until `unmute`."""
        self._muted = True
        self._cut()
        self._is_cold = True

    def unmute(self) -> None:
        """Play again, from the next block on."""
        self._muted = False

    def rest(self) -> None:
        """Stop at once, without a fade: no blocks will be asked for until packets come again."""
        self._sound.restart(self._position)
        self._cut_tail = None
        self._is_cold = self._has_rested = True

    def _push(self, packets: PacketQueue, rtp_timestamp: int, data: bytes) -> None:
        duplicated, dropped = packets.duplicated, packets.dropped
        packets.push(rtp_timestamp, data)
        self._statistics.packets_duplicated += packets.duplicated - duplicated
        if not self._has_rested:
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
        if not self._has_rested:
            self._statistics.packets_dropped += len(self._sound.packets)
        self._epoch, self._sound.packets, self._coming = epoch, packets, None

    def _wanted_position(self, start_ns: int) -> float | None:
        """The sender's sample that was captured at *start_ns*."""
        reference = (
            self._sound.packets.first() if self._is_drained_at(self._position) else self._position
        )
        if reference is None or self._epoch is None:
            return None
        captured_ns = self._capture_ns(self._epoch, reference)
        if captured_ns is None:
            return None
        return reference + (start_ns - captured_ns) * SAMPLE_RATE_HZ / NS_PER_S

    def _is_drained_at(self, position: int) -> bool:
        """Nothing of what was decoded or concealed is left to play at *position*."""
        return self._sound.is_silent and self._sound.ring.end <= position

    def _runs_true(self, start_ns: int, count: int) -> bool:
        """Whether the next *count* blocks follow each other just as they were sent."""
        if self._muted or self._coming is not None or self._cut_tail is not None:
            return False
        wanted = self._wanted_position(start_ns)
        if (
            wanted is None
            or self._is_drained_at(self._position)
            or correction(wanted - self._position) != 0
        ):
            return False
        last = count - 1
        wanted = self._wanted_position(start_ns + last * BLOCK_NS)
        return (
            wanted is not None and correction(wanted - self._position - last * BLOCK_SAMPLES) == 0
        )

    def _begin(self, position: int) -> bool:
        """Begin anew at *position* if there is anything to play in the next block."""
        self._position = begin = position
        if self._is_cold:
            self._sound.packets.drop_before(position - WARM_UP)
            first = self._sound.packets.first()
            begin = position if first is None else min(position, first)
        self._sound.restart(begin)
        if not self._sound.has_packet_before(position + BLOCK_SAMPLES):
            return False
        if begin < position:
            self._sound.fill(position + FADE_IN_SAMPLES)
            self._sound.ring.scale(position, FADE_IN)
        self._is_cold = self._has_rested = False
        return True

    def _take(self, error: float) -> NDArray[np.float32]:
        """The next block, stretched by a few samples if it is that late or early."""
        consumed = BLOCK_SAMPLES + correction(error)
        begin, end = self._position, self._position + consumed
        if consumed == BLOCK_SAMPLES:
            self._sound.fill(end)
            return self._advance(begin, end)
        self._sound.fill(end + MARGIN)
        block = stretch(self._sound.ring.read(begin - MARGIN, end + MARGIN), consumed)
        self._statistics.stretched_blocks += 1
        self._move_to(end)
        return block

    def _splice(self, error: float) -> NDArray[np.float32]:
        """The next block, some milliseconds shorter or longer if that goes unheard."""
        begin, end = self._position, self._position + BLOCK_SAMPLES
        self._sound.fill(end)
        rest = 1 if abs(error) > HURRIED else 2
        if self._spliced_before >= rest and self._sound.reaches(end + MOST_LAG):
            self._sound.fill(end + MOST_LAG)
            samples = self._sound.ring.read(begin - BEHIND, end + MOST_LAG)
            splice = find_splice(samples, round(error))
            waited = self._spliced_before - rest
            if splice.likeness >= ALIKE_AT_ONCE - ALIKE_PER_BLOCK * waited:
                self._spliced_before = 1 if splice.is_silent else 0
                self._statistics.spliced_blocks += 1
                self._move_to(end + splice.lag)
                return join(samples, splice)
        return self._advance(begin, end)

    def _advance(self, begin: int, end: int) -> NDArray[np.float32]:
        """What was decoded from *begin* to *end*, just as it is."""
        sound = self._sound.ring.read(begin, end)
        self._move_to(end)
        return sound

    def _move_to(self, position: int) -> None:
        self._position = position
        self._sound.ring.discard_before(position)

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
        if not self._is_drained_at(self._position):
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
