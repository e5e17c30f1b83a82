"""The mixing desk: the loudest voices of a room, levelled, added and limited, block by block."""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.levelling import Leveller
from worker.core.audio.limiter import Limiter
from worker.core.audio.loudness import LoudnessMeter, VoiceLevel, Voices
from worker.core.audio.mixing import Gate, Strip, mix
from worker.core.audio.speakers import SpeakerSelector, SpeakerTurn
from worker.core.identity import ParticipantId
from worker.core.spec import AudioSpec
from worker.core.timing import BLOCK_SAMPLES

LATENCY_BLOCKS = 15
"""A block comes out when the block 300 ms after it has gone in. Exact to the sample."""
LIMITER_BLOCKS = 1
"""One of them is the limiter's; the speakers are chosen with the 14 others in view."""
MIX_BLOCKS = LATENCY_BLOCKS - LIMITER_BLOCKS


class Desk:
    """Everything between the decoded blocks of all participants and the block to encode.

    A voice is a participant: microphone and screen sound are added before (`sum_tracks`).
    """

    def __init__(self, audio: AudioSpec) -> None:
        self._meter = LoudnessMeter()
        self._selector = SpeakerSelector(audio.speakers, MIX_BLOCKS)
        self._leveller = Leveller(audio.target_lufs) if audio.levelling else None
        self._limiter = Limiter()
        self._waiting: deque[Voices] = deque()
        self._first_block: int | None = None
        self._next_block = 0
        self._heard: frozenset[ParticipantId] = frozenset()
        self._levels: Mapping[ParticipantId, VoiceLevel] = {}
        self._is_primed = False
        """The limiter has been given the block that it gives out first."""

    @property
    def heard(self) -> frozenset[ParticipantId]:
        """Whose gates are open in the block that came out last (and the one after it)."""
        return self._heard

    @property
    def chosen(self) -> frozenset[ParticipantId]:
        """Whose gates are open in the look-ahead or are about to close; their sound is needed."""
        return self._heard | self._selector.chosen

    def loudness_lufs(self) -> dict[ParticipantId, float]:
        """Momentary loudness of every voice after the block that went in last."""
        return {voice: level.momentary_lufs for voice, level in self._levels.items()}

    @property
    def reduction_db(self) -> float:
        """The most by which the limiter lowered the last block, dB."""
        return self._limiter.reduction_db

    def process(self, first_block: int, blocks: Sequence[Voices]) -> list[NDArray[np.float32]]:
        """Put in blocks from *first_block* on; returns what is finished, (960, 2) float32 each.

        Voices are (960, 1 or 2) float32 at any level, who is missing is silent; their arrays must
        not be written afterwards. Indices go up one by one from the first one. Block n comes out
        when n + 15 has gone in. What comes out stays at or below -1 dBTP, and is exactly zero
        where nobody speaks.
        """
        if self._first_block is None:
            self._first_block = self._next_block = first_block
        assert first_block == self._next_block, "blocks are put in one after the other"
        mixed = []
        for voices, (levels, broken) in zip(blocks, self._meter.process(blocks), strict=True):
            if broken:
                voices = {key: pcm for key, pcm in voices.items() if key not in broken}
            self._waiting.append(voices)
            heard = self._selector.advance(self._next_block, levels)
            if self._leveller is not None:
                self._leveller.advance(levels, heard | self._heard)
            if self._next_block - MIX_BLOCKS >= self._first_block:
                mixed.append(self._mix(heard))
            self._next_block += 1
            self._levels = levels
        if not mixed:
            return []
        limited = self._limiter.process(np.concatenate(mixed))
        finished = [
            limited[at : at + BLOCK_SAMPLES] for at in range(0, len(limited), BLOCK_SAMPLES)
        ]
        if self._is_primed:
            return finished
        self._is_primed = True
        return finished[1:]

    def flush(self) -> list[NDArray[np.float32]]:
        """The blocks that are still inside, 15 at most; the desk is finished then."""
        if self._first_block is None:
            return []
        end_block = self._next_block
        blocks = self.process(end_block, [{}] * LATENCY_BLOCKS)
        self._selector.finish(end_block)
        return blocks

    def take_turns(self) -> list[SpeakerTurn]:
        """Who was heard from which block to which; turns that ended since the last call."""
        return self._selector.take_turns()

    def _mix(self, heard: frozenset[ParticipantId]) -> NDArray[np.float32]:
        voices = self._waiting.popleft()
        following = self._waiting[0]
        strips = []
        for key in sorted(heard | self._heard):
            pcm = voices.get(key)
            if pcm is None:
                continue
            gate = Gate.OPEN if key in self._heard else Gate.OPENING
            if key not in heard or key not in following:
                if gate is Gate.OPENING:
                    continue
                gate = Gate.CLOSING
            gains = (1.0, 1.0) if self._leveller is None else self._leveller.gains(key)
            strips.append(Strip(pcm, gate, *gains))
        self._heard = heard
        return mix(strips)
