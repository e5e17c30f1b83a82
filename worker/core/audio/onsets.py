"""When a voice began to speak, and how loud it has been since."""

from dataclasses import dataclass

from worker.core.audio.loudness import MOMENTARY_BLOCKS, SILENCE_LUFS, VoiceLevel, lufs

GATE_LUFS = -60.0
"""Quieter is nobody speaking."""
ONSET_RISE_LU = 15.0
"""An onset stands out from the voice's own background by this much."""
FLOOR_RISE_LU_PER_BLOCK = 0.01
"""How fast the background is believed to grow: 0.5 LU a second."""
SHORTEST_BLOCKS = 5
"""A voice that just began is averaged over at least 100 ms."""
NEVER = -(10**9)


@dataclass(slots=True)
class TrackedVoice:
    """One voice up to its newest block."""

    onset_block: int = NEVER
    """Where it last began to speak after at least 400 ms of background."""
    loudness_lufs: float = SILENCE_LUFS
    """Momentary loudness, but not over the time before the onset: a newcomer counts in full."""
    silent_blocks: int = 0
    """For how long the loudness has been below the gate."""
    _floor_lufs: float = SILENCE_LUFS
    _seen_blocks: int = 0
    _active_block: int = NEVER
    _onset_energy: float = 0.0

    def follow(self, block: int, level: VoiceLevel) -> None:
        """Take in the level of the next block."""
        self._follow_onset(block, level)
        age = block - self.onset_block + 1
        if age < MOMENTARY_BLOCKS:
            self._onset_energy += level.energy
            self.loudness_lufs = lufs(self._onset_energy / max(age, SHORTEST_BLOCKS))
        else:
            self.loudness_lufs = level.momentary_lufs
        self.silent_blocks = self.silent_blocks + 1 if self.loudness_lufs < GATE_LUFS else 0

    def _follow_onset(self, block: int, level: VoiceLevel) -> None:
        self._seen_blocks += 1
        if self._seen_blocks >= MOMENTARY_BLOCKS:
            known = self._floor_lufs if self._seen_blocks > MOMENTARY_BLOCKS else 0.0
            self._floor_lufs = min(known + FLOOR_RISE_LU_PER_BLOCK, level.momentary_lufs)
        if level.fast_lufs < max(GATE_LUFS, self._floor_lufs + ONSET_RISE_LU):
            return
        if block - self._active_block > MOMENTARY_BLOCKS:
            self.onset_block = block
            self._onset_energy = 0.0
        self._active_block = block
