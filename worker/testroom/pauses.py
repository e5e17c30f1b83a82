"""Discontinuous transmission: what a microphone sends while it picks up nothing.

As libopus encodes it and libwebrtc sends it: 200 ms after the last sound a packet without content
opens the pause; every 400 ms one with content renews it.
"""

from dataclasses import dataclass

from worker.core.audio.claim import SILENT_DBOV
from worker.testroom.loop_cache import LoopUnit

HANGOVER_UNITS = 10
PAUSE_UNITS = 20
_FRAME_COUNT_BITS = 0x03


@dataclass(slots=True)
class Pauses:
    """Of one stream of 20 ms packets."""

    _silent_units: int = 0

    def data_of(self, unit: LoopUnit) -> bytes | None:
        """What is sent of *unit*, the next one of the stream; None: nothing."""
        if unit.level_dbov > SILENT_DBOV:
            self._silent_units = 0
            return unit.data
        self._silent_units += 1
        if self._silent_units <= HANGOVER_UNITS:
            return unit.data
        turn = (self._silent_units - HANGOVER_UNITS - 1) % (PAUSE_UNITS + 1)
        if turn == 0:
            # The first byte alone: one frame of the same kind, with nothing in it.
            return bytes((unit.data[0] & ~_FRAME_COUNT_BITS,))
        return unit.data if turn == PAUSE_UNITS else None
