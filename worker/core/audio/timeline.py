"""One audio track on the output's grid: packets by timestamp in, blocks of 20 ms out.

A sample's place is where the clock map says it was captured, never when it arrived. Gaps are
recovered or concealed, then faded to silence; the sender's drift is stretched away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.packets import PacketQueue
from worker.core.audio.pcmring import PcmRing
from worker.core.drift import REANCHOR, correction
from worker.core.stretch import MARGIN, stretch
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ
from worker.errors import MediaError

CONCEALED_SAMPLES = 60 * SAMPLE_RATE_HZ // 1000
"""Concealment beyond 60 ms is guesswork that can be heard."""
FADE_OUT_SAMPLES = 20 * SAMPLE_RATE_HZ // 1000
FADE_IN_SAMPLES = 5 * SAMPLE_RATE_HZ // 1000
"""Short enough to keep a plosive, long enough not to click."""
OPUS_STEP = SAMPLE_RATE_HZ // 400
"""Opus conceals and recovers in units of 2.5 ms."""
LONGEST_PACKET = 120 * SAMPLE_RATE_HZ // 1000
DTX_BYTES = 2
"""A packet of no more than this opens a pause (RFC 6716, 2.1.9): what follows is no loss."""


def fade_out(samples: int) -> NDArray[np.float32]:
    """Raised cosine from 1 to 0, (samples,) float32."""
    phase = np.pi * (np.arange(samples) + 0.5) / samples
    return (0.5 + 0.5 * np.cos(phase)).astype(np.float32)


_CUT = fade_out(FADE_IN_SAMPLES)
_FADE_IN = _CUT[::-1].copy()


class Decoder(Protocol):
    """What the timeline asks of a decoder: 48 kHz float32 (samples, 1 or 2)."""

    def decode(self, data: bytes) -> NDArray[np.float32]: ...

    def recover(self, following: bytes, samples: int) -> NDArray[np.float32]: ...

    def conceal(self, samples: int) -> NDArray[np.float32]: ...


@dataclass(slots=True)
class TimelineStatistics:
    """Counters of one audio track."""

    packets_decoded: int = 0
    packets_late: int = 0
    """Came after their place had been played or concealed."""
    packets_duplicated: int = 0
    packets_dropped: int = 0
    """Over the queue's limit, or left over from an epoch that had ended."""
    packets_damaged: int = 0
    packets_recovered: int = 0
    """Lost, but rebuilt from the forward error correction in the packet after."""
    concealed_samples: int = 0
    silent_blocks: int = 0
    stretched_blocks: int = 0
    reanchors: int = 0
    """Jumps of more than 200 ms, after the start of each talk spurt."""

    @property
    def concealed_ms(self) -> int:
        return self.concealed_samples * 1000 // SAMPLE_RATE_HZ


class AudioTimeline:
    """Blocks of one track. One owner; packets may be pushed at any time between blocks.

    *capture_ns* is the clock map's query for this track: (epoch, timestamp) to the instant on our
    clock, or None when it knows nothing of that epoch.
    """

    def __init__(self, decoder: Decoder, capture_ns: Callable[[int, int], int | None]) -> None:
        self._decoder = decoder
        self._capture_ns = capture_ns
        self._packets = PacketQueue()
        self._epoch: int | None = None
        self._coming: tuple[int, PacketQueue] | None = None
        self._ring = PcmRing()
        self._position = 0
        self._packet_samples = BLOCK_SAMPLES
        self._is_silent = True
        """The ring ends in silence: neither played nor concealed sound follows by itself."""
        self._stood_in = 0
        self._in_pause = False
        self._cut_tail: NDArray[np.float32] | None = None
        self._muted = False
        self._statistics = TimelineStatistics()

    @property
    def statistics(self) -> TimelineStatistics:
        return self._statistics

    @property
    def waiting_packets(self) -> int:
        return len(self._packets) + (len(self._coming[1]) if self._coming else 0)

    def push(self, epoch: int, rtp_timestamp: int, data: bytes) -> None:
        """Keep a packet until its block comes. Holds 2 s per epoch, drops the oldest."""
        if self._epoch is None:
            self._epoch = epoch
        if epoch == self._epoch:
            self._push(self._packets, rtp_timestamp, data)
        elif epoch < self._epoch:
            self._statistics.packets_late += 1
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
                self._packets.drop_before(round(wanted) - self._packet_samples)
            return self._silence()
        consumed = BLOCK_SAMPLES
        error = wanted - self._position
        if self._is_drained():
            self._restart(round(wanted))
            if not self._has_packet_before(self._position + consumed):
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
        self._packets.clear()
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
        self._statistics.packets_dropped += len(self._packets)
        self._epoch, self._packets, self._coming = epoch, packets, None

    def _wanted_position(self, start_ns: int) -> float | None:
        """The sender's sample that was captured at *start_ns*."""
        reference = self._packets.first() if self._is_drained() else self._position
        if reference is None or self._epoch is None:
            return None
        captured_ns = self._capture_ns(self._epoch, reference)
        if captured_ns is None:
            return None
        return reference + (start_ns - captured_ns) * SAMPLE_RATE_HZ / NS_PER_S

    def _is_drained(self) -> bool:
        return self._is_silent and self._ring.end <= self._position

    def _has_packet_before(self, position: int) -> bool:
        self._statistics.packets_late += self._packets.drop_before(
            self._ring.end - self._packet_samples + 1
        )
        first = self._packets.first()
        return first is not None and first < position

    def _restart(self, position: int) -> None:
        self._position = position
        self._ring.reset(position)

    def _reanchor(self, position: int) -> None:
        """Jump: the old sound is cut short, the new one fades in."""
        self._statistics.reanchors += 1
        self._cut_tail = self._ring.read(self._position, self._position + FADE_IN_SAMPLES)
        self._cut_tail *= _CUT[:, None]
        self._ring.discard_before(self._position)
        self._position = position
        if position >= self._ring.end:
            self._ring.reset(position)
            self._is_silent = True
        else:
            self._ring.scale(max(position, self._ring.start), _FADE_IN)

    def _cut(self) -> None:
        if not self._is_drained():
            self._cut_tail = self._ring.read(self._position, self._position + FADE_IN_SAMPLES)
            self._cut_tail *= _CUT[:, None]
        self._ring.reset(self._position)
        self._is_silent = True
        self._in_pause = False
        self._stood_in = 0

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

    def _take(self, consumed: int) -> NDArray[np.float32]:
        begin, end = self._position, self._position + consumed
        if consumed == BLOCK_SAMPLES:
            self._fill(end)
            block = self._ring.read(begin, end)
        else:
            self._fill(end + MARGIN)
            block = stretch(self._ring.read(begin - MARGIN, end + MARGIN), consumed)
            self._statistics.stretched_blocks += 1
        self._position = end
        self._ring.discard_before(end)
        return block

    def _fill(self, end: int) -> None:
        """Decode, recover, conceal or pause until the ring reaches *end*."""
        while self._ring.end < end:
            at = self._ring.end
            self._statistics.packets_late += self._packets.drop_before(
                at - self._packet_samples + 1
            )
            first = self._packets.first()
            if first is not None and first <= at:
                self._decode(self._packets.pop(), at - first)
            else:
                self._bridge(at, first, end)

    def _decode(self, data: bytes, played: int) -> None:
        """Append a packet but for its first *played* samples, whose place is taken."""
        try:
            pcm = self._decoder.decode(data)[:LONGEST_PACKET]
            self._statistics.packets_decoded += 1
        except MediaError:
            pcm = self._decoder.conceal(self._packet_samples)
            self._statistics.packets_damaged += 1
        self._packet_samples = pcm.shape[0] or self._packet_samples
        self._in_pause = len(data) <= DTX_BYTES
        self._stood_in = 0
        at = self._ring.end
        self._ring.append(pcm[played:])
        if self._is_silent and self._ring.end > at:
            self._ring.scale(at, _FADE_IN)
            self._is_silent = False

    def _bridge(self, at: int, first: int | None, end: int) -> None:
        """Stand in for what is missing from *at* up to *first*, or up to *end* at least."""
        missing = LONGEST_PACKET if first is None else first - at
        if self._is_silent:
            self._ring.append_silence(end - at if first is None else min(missing, end - at))
        elif first is not None and missing <= self._packet_samples and not self._in_pause:
            self._append(self._recover(self._packets.peek(), missing), missing)
            self._stood_in = 0
            self._statistics.packets_recovered += 1
        elif self._stood_in < CONCEALED_SAMPLES:
            left = CONCEALED_SAMPLES - self._stood_in
            self._conceal(min(self._packet_samples, missing, left))
        else:
            count = min(FADE_OUT_SAMPLES, missing)
            self._conceal(count)
            self._ring.scale(at, fade_out(count))
            self._is_silent = True

    def _recover(self, following: bytes, missing: int) -> NDArray[np.float32]:
        try:
            return self._decoder.recover(following, _whole_steps(missing))[-missing:]
        except MediaError:
            return self._decoder.conceal(_whole_steps(missing))

    def _conceal(self, count: int) -> None:
        self._append(self._decoder.conceal(_whole_steps(count)), count)
        self._stood_in += count
        self._statistics.concealed_samples += 0 if self._in_pause else count

    def _append(self, pcm: NDArray[np.float32], count: int) -> None:
        self._ring.append(pcm[:count])
        self._ring.append_silence(count - min(count, pcm.shape[0]))


def _whole_steps(samples: int) -> int:
    return -(-samples // OPUS_STEP) * OPUS_STEP
