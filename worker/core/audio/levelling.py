"""A slow gain per voice toward the target loudness: quiet people are brought up, loud ones down.

Only speech is measured and only speech is raised; the gain follows over seconds, so that
nothing pumps, and what was not heard yet starts at its gain at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from worker.core.audio.loudness import VoiceLevel, lufs
from worker.core.identity import ParticipantId

BLOCKS_PER_S = 50
MAX_GAIN_DB = 18.0
"""Either way: more would raise the noise of a bad microphone to the level of speech."""
SPEECH_LUFS = -50.0
"""Momentary loudness below this is no speech worth raising."""
RELATIVE_GATE_LU = 10.0
"""Below the loudest of the last seconds by this much it is a pause (as in BS.1770-4)."""
PEAK_FALL_LU_PER_S = 2.0
"""How fast the loudest is forgotten when somebody moves away from the microphone."""
MEMORY_S = 3.0
CONFIDENCE_S = 1.0
"""Speech needed before a voice gets its full correction: one syllable says little."""
RISE_DB_PER_S = 4.0
FALL_DB_PER_S = 8.0
FORGET_BLOCKS = 600 * BLOCKS_PER_S
"""A voice that was not there for 10 min starts anew."""


@dataclass(slots=True)
class _Voice:
    energy: float = 0.0
    speech_blocks: int = 0
    peak_lufs: float = -120.0
    gain_from_db: float = 0.0
    gain_to_db: float = 0.0
    seen_block: int = 0


class Leveller:
    """Gains of all voices; `advance` once per block."""

    def __init__(self, target_lufs: float) -> None:
        self._target_lufs = target_lufs
        self._voices: dict[ParticipantId, _Voice] = {}
        self._block = 0

    def advance(
        self, levels: Mapping[ParticipantId, VoiceLevel], heard: Collection[ParticipantId]
    ) -> None:
        """Move on by one block.

        *levels* may be ahead of what is mixed. The gains of voices in *heard* move slowly, those
        of the others jump to where they belong.
        """
        self._block += 1
        for key, level in levels.items():
            voice = self._voices.setdefault(key, _Voice())
            voice.seen_block = self._block
            self._measure(voice, level)
            wanted_db = self._wanted_db(voice)
            voice.gain_from_db = voice.gain_to_db
            if key not in heard:
                voice.gain_from_db = voice.gain_to_db = wanted_db
            elif level.momentary_lufs >= SPEECH_LUFS or wanted_db < voice.gain_to_db:
                step_db = wanted_db - voice.gain_to_db
                rise_db, fall_db = RISE_DB_PER_S / BLOCKS_PER_S, FALL_DB_PER_S / BLOCKS_PER_S
                voice.gain_to_db += min(rise_db, max(-fall_db, step_db))
        if self._block % BLOCKS_PER_S == 0:
            self._forget_absent()

    def gains(self, key: ParticipantId) -> tuple[float, float]:
        """Linear gain at the start and the end of the block; 1 for a voice never measured."""
        voice = self._voices.get(key)
        if voice is None:
            return 1.0, 1.0
        return _linear(voice.gain_from_db), _linear(voice.gain_to_db)

    def _measure(self, voice: _Voice, level: VoiceLevel) -> None:
        voice.peak_lufs -= PEAK_FALL_LU_PER_S / BLOCKS_PER_S
        voice.peak_lufs = max(voice.peak_lufs, level.momentary_lufs)
        if level.momentary_lufs < max(SPEECH_LUFS, voice.peak_lufs - RELATIVE_GATE_LU):
            return
        voice.speech_blocks += 1
        weight = 1 / min(voice.speech_blocks, MEMORY_S * BLOCKS_PER_S)
        voice.energy += weight * (level.energy - voice.energy)

    def _wanted_db(self, voice: _Voice) -> float:
        if voice.speech_blocks == 0:
            return 0.0
        gain_db = self._target_lufs - lufs(voice.energy)
        confidence = min(1.0, voice.speech_blocks / (CONFIDENCE_S * BLOCKS_PER_S))
        return confidence * min(MAX_GAIN_DB, max(-MAX_GAIN_DB, gain_db))

    def _forget_absent(self) -> None:
        for key in [
            k for k, v in self._voices.items() if self._block - v.seen_block > FORGET_BLOCKS
        ]:
            del self._voices[key]


def _linear(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))
