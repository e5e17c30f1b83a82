"""The mixing desk: the loudest voices of a room, levelled, added and limited, block by block."""

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.levelling import Leveller
from worker.core.audio.limiter import Limiter
from worker.core.audio.loudness import LoudnessMeter
from worker.core.audio.mixing import Gate, Strip, mix
from worker.core.audio.speakers import SpeakerSelector, SpeakerTurn
from worker.core.identity import ParticipantId
from worker.core.spec import AudioSpec

LATENCY_BLOCKS = 15
"""A block comes out when the block 300 ms after it has gone in. Exact to the sample."""
LIMITER_BLOCKS = 1
"""One of them is the limiter's; the speakers are chosen with the 14 others in view."""
MIX_BLOCKS = LATENCY_BLOCKS - LIMITER_BLOCKS

Voices = Mapping[ParticipantId, NDArray[np.float32]]


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

    @property
    def heard(self) -> frozenset[ParticipantId]:
        """Whose gates are open in the block that came out last (and the one after it)."""
        return self._heard

    @property
    def reduction_db(self) -> float:
        """The most by which the limiter lowered the last block, dB."""
        return self._limiter.reduction_db

    def process(self, block_index: int, voices: Voices) -> NDArray[np.float32] | None:
        """Put block *block_index* in; returns block `block_index - 15`, (960, 2) float32.

        Voices are (960, 1 or 2) float32 at any level, who is missing is silent; their arrays must
        not be written afterwards. Indices go up one by one from the first one. Returns None for
        the first 15 calls. What comes out stays at or below -1 dBTP, and is exactly zero where
        nobody speaks.
        """
        if self._first_block is None:
            self._first_block = self._next_block = block_index
        assert block_index == self._next_block, "blocks are put in one after the other"
        self._next_block += 1
        levels = self._meter.process(voices)
        if self._meter.broken:
            voices = {key: pcm for key, pcm in voices.items() if key not in self._meter.broken}
        self._waiting.append(voices)
        heard = self._selector.advance(block_index, levels)
        if self._leveller is not None:
            self._leveller.advance(levels, heard | self._heard)
        mixed_index = block_index - MIX_BLOCKS
        if mixed_index < self._first_block:
            return None
        limited = self._limiter.process(self._mix(heard))
        return None if mixed_index == self._first_block else limited

    def flush(self) -> list[NDArray[np.float32]]:
        """The blocks that are still inside, 15 at most; the desk is finished then."""
        if self._first_block is None:
            return []
        end_block = self._next_block
        blocks = []
        for index in range(end_block, end_block + LATENCY_BLOCKS):
            block = self.process(index, {})
            if block is not None:
                blocks.append(block)
        self._selector.finish(end_block)
        return blocks

    def take_turns(self) -> list[SpeakerTurn]:
        """Who was heard from which block to which; turns that ended since the last call."""
        return self._selector.take_turns()

    def remove(self, voice: ParticipantId) -> None:
        """Forget the gain of somebody who has left and is played out."""
        if self._leveller is not None:
            self._leveller.remove(voice)

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
