"""The decoded sound of one track without holes: packets, or what stands in for them.

A missing packet is rebuilt from the forward error correction of the one after it, else
concealed for up to 60 ms, then faded to silence. A pause of the sender is filled with noise like
that before it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.packets import PacketQueue
from worker.core.audio.pcmring import PcmRing
from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
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
PAUSE_SAMPLES = SAMPLE_RATE_HZ
"""A sender in a pause renews it each 400 ms (RFC 6716, 2.1.9), which may fail twice. Between them
libopus makes the noise up; silence instead would be heard as the room coming and going."""


def fade_out(samples: int) -> NDArray[np.float32]:
    """Raised cosine from 1 to 0, (samples,) float32."""
    phase = np.pi * (np.arange(samples) + 0.5) / samples
    return np.asarray(0.5 + 0.5 * np.cos(phase), np.float32)


FADE_IN = fade_out(FADE_IN_SAMPLES)[::-1].copy()


class Decoder(Protocol):
    """What is asked of a decoder: 48 kHz float32 (samples, 1 or 2)."""

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
    spliced_blocks: int = 0
    """Blocks that took in some milliseconds more or less, at unchanged pitch."""
    reanchors: int = 0
    """Jumps of more than 300 ms within speech."""

    @property
    def concealed_ms(self) -> int:
        return self.concealed_samples * 1000 // SAMPLE_RATE_HZ


class GaplessSound:
    """Decodes *packets* into `ring` as far as it is asked to, whatever is missing."""

    def __init__(self, decoder: Decoder, statistics: TimelineStatistics) -> None:
        self._decoder = decoder
        self._statistics = statistics
        self._stood_in = 0
        self._in_pause = False
        self.packets = PacketQueue()
        self.packet_samples = BLOCK_SAMPLES
        """Length of the last packet, taken for that of the next."""
        self.ring = PcmRing()
        self.is_silent = True
        """The ring ends in silence, and silence follows until the next packet."""

    def restart(self, position: int) -> None:
        """Forget all decoded sound; the next sample is *position* and silent."""
        self.ring.reset(position)
        self.is_silent = True
        self._in_pause = False
        self._stood_in = 0

    def has_packet_before(self, position: int) -> bool:
        """Whether a packet begins before *position* and is not too late to be of use."""
        self._drop_late()
        first = self.packets.first()
        return first is not None and first < position

    def reaches(self, end: int) -> bool:
        """Whether `fill` can get to *end* without guessing what has not come yet."""
        last = self.packets.last()
        return self.ring.end >= end or (last is not None and last + self.packet_samples >= end)

    def fill(self, end: int) -> None:
        """Decode, recover, conceal or pause until the ring reaches *end*."""
        while self.ring.end < end:
            self._drop_late()
            at = self.ring.end
            first = self.packets.first()
            if first is not None and first <= at:
                self._decode(self.packets.pop(), played=at - first)
            else:
                self._bridge(at, first, end)

    def _drop_late(self) -> None:
        late = self.packets.drop_before(self.ring.end - self.packet_samples + 1)
        self._statistics.packets_late += late

    def _decode(self, data: bytes, *, played: int) -> None:
        """Append a packet but for its first *played* samples, whose place is taken."""
        try:
            pcm = self._decoder.decode(data)[:LONGEST_PACKET]
            self._statistics.packets_decoded += 1
        except MediaError:
            pcm = self._decoder.conceal(self.packet_samples)
            self._statistics.packets_damaged += 1
        self.packet_samples = pcm.shape[0] or self.packet_samples
        self._in_pause = len(data) <= DTX_BYTES
        self._stood_in = 0
        at = self.ring.end
        self.ring.append(pcm[played:])
        if self.is_silent and self.ring.end > at:
            self.ring.scale(at, FADE_IN)
            self.is_silent = False

    def _bridge(self, at: int, first: int | None, end: int) -> None:
        """Stand in for what is missing from *at* up to *first*, or up to *end* at least."""
        missing = LONGEST_PACKET if first is None else first - at
        if self.is_silent:
            self.ring.append_silence(end - at if first is None else min(missing, end - at))
        elif first is not None and missing <= self.packet_samples and not self._in_pause:
            self._append(self._recover(self.packets.peek(), missing), missing)
            self._stood_in = 0
            self._statistics.packets_recovered += 1
        elif (left := self._longest_stand_in - self._stood_in) > 0:
            self._conceal(min(self.packet_samples, missing, left))
        else:
            count = min(FADE_OUT_SAMPLES, missing)
            self._conceal(count)
            self.ring.scale(at, fade_out(count))
            self.is_silent = True

    @property
    def _longest_stand_in(self) -> int:
        return PAUSE_SAMPLES if self._in_pause else CONCEALED_SAMPLES

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
        self.ring.append(pcm[:count])
        self.ring.append_silence(count - min(count, pcm.shape[0]))


def _whole_steps(samples: int) -> int:
    return -(-samples // OPUS_STEP) * OPUS_STEP
