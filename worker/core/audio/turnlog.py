"""Who was heard when, over hours: three small numbers a turn."""

from array import array
from collections.abc import Iterable, Iterator

from worker.core.audio.speakers import SpeakerTurn
from worker.core.identity import ParticipantId


class TurnLog:
    """Turns in the order they ended. Not bounded: five thousand an hour are 60 kB."""

    def __init__(self) -> None:
        self._voices: dict[ParticipantId, int] = {}
        self._rows = array("I")

    def extend(self, turns: Iterable[SpeakerTurn]) -> None:
        """Add *turns* at the end."""
        for turn in turns:
            voice = self._voices.setdefault(turn.voice, len(self._voices))
            self._rows.extend((voice, turn.start_block, turn.end_block))

    def __iter__(self) -> Iterator[SpeakerTurn]:
        """The turns so far; others may be added meanwhile, from another thread too."""
        # In this order: a voice is known before there is a row of it; the last may be half there.
        rows = len(self._rows) // 3
        voices = list(self._voices)
        for at in range(0, 3 * rows, 3):
            voice, start_block, end_block = self._rows[at : at + 3]
            yield SpeakerTurn(voices[voice], start_block, end_block)
