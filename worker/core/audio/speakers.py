"""Which voices are heard: the loudest three, decided with a look into the future.

Decisions are made `lookahead` blocks before they are heard, so a newcomer's gate opens where
the newcomer began to speak and not where that became certain.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.audio.loudness import SILENCE_LUFS, VoiceLevel
from worker.core.audio.onsets import GATE_LUFS, TrackedVoice
from worker.core.identity import ParticipantId

RELEASE_BLOCKS = 50
"""A silent speaker's gate closes after 1 s; until then a pause is just a pause."""
HOLD_BLOCKS = 25
"""Who was let in stays 500 ms against louder people: two people coughing in turns would flap."""
RESUME_LU = 6.0
"""The hold does not protect against an onset louder by this much: it would cost a talker, who
lost the place to somebody's noise in a pause, the first syllable after it."""
BURST_TAKEOVERS = 4
BURST_BLOCKS = 100
"""Each place changes hands at most four times in 2 s all the same."""
MARGIN_LU = 0.5
"""Louder by less is not louder."""
CLAIM_LU_BLOCKS = 12.0
"""Margin times time that an outsider needs: 3 LU for 80 ms, 1 LU for 240 ms, ..."""
CLAIM_LU_MOST = 6.0
"""... and never less than 40 ms."""
ONSET_MARGIN_LU = 1.0
"""An outsider who just began to speak is compared once, as late as the look-ahead allows."""
PREROLL_BLOCKS = 2
"""Gates open this long before an onset was measured: 20 ms of ramp, 20 ms for soft consonants."""


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """A voice was heard in blocks [start, end)."""

    voice: ParticipantId
    start_block: int
    end_block: int


@dataclass(slots=True)
class _Gate:
    voice: ParticipantId
    open_block: int
    takeovers: tuple[int, ...]
    """When this place changed hands the last four times; the last is when this voice got it."""
    close_block: int | None = None


class SpeakerSelector:
    """The voices that are heard. `advance` once per block; blocks count up one by one."""

    def __init__(self, speakers: int, lookahead_blocks: int) -> None:
        assert lookahead_blocks > PREROLL_BLOCKS
        self._speakers = speakers
        self._lookahead = lookahead_blocks
        self._voices: dict[ParticipantId, TrackedVoice] = {}
        self._members: dict[ParticipantId, _Gate] = {}
        self._closing: list[_Gate] = []
        self._claims: dict[ParticipantId, float] = {}
        self._recent: deque[dict[ParticipantId, float]] = deque(maxlen=lookahead_blocks + 1)
        self._turns: list[SpeakerTurn] = []
        self._first_block = 0

    @property
    def chosen(self) -> frozenset[ParticipantId]:
        """Who has a place, or has lost it but is heard until then."""
        return frozenset(self._members).union(gate.voice for gate in self._closing)

    def advance(
        self, block: int, levels: Mapping[ParticipantId, VoiceLevel]
    ) -> frozenset[ParticipantId]:
        """Take in the levels of *block*; returns who is heard in block - lookahead.

        More than the wanted number are heard only while a newcomer's gate is open ahead of its
        onset.
        """
        if not self._recent:
            self._first_block = block
        self._measure(block, levels)
        self._release(block)
        self._fill_places(block)
        self._challenge(block)
        heard_block = block - self._lookahead
        self._retire(heard_block)
        return frozenset(
            gate.voice
            for gate in (*self._members.values(), *self._closing)
            if gate.open_block <= heard_block
        )

    def take_turns(self) -> list[SpeakerTurn]:
        """Turns that have ended since the last call, in the order they ended."""
        turns, self._turns = self._turns, []
        return turns

    def finish(self, end_block: int) -> None:
        """End all turns at *end_block*, the first block that nobody will hear."""
        for gate in (*self._closing, *self._members.values()):
            end = end_block if gate.close_block is None else min(gate.close_block, end_block)
            self._note_turn(gate, end)
        self._members.clear()
        self._closing.clear()

    def _measure(self, block: int, levels: Mapping[ParticipantId, VoiceLevel]) -> None:
        self._recent.append({key: level.fast_lufs for key, level in levels.items()})
        for key in self._voices.keys() - levels.keys():
            del self._voices[key]
            if key in self._members:
                self._close(key, block)
        for key, level in levels.items():
            voice = self._voices.get(key)
            if voice is None:
                voice = self._voices[key] = TrackedVoice()
            voice.follow(block, level)

    def _release(self, block: int) -> None:
        for key in list(self._members):
            if self._voices[key].silent_blocks >= RELEASE_BLOCKS:
                self._close(key, block)

    def _fill_places(self, block: int) -> None:
        while len(self._members) < self._speakers:
            outsiders = self._outsiders()
            if not outsiders:
                return
            newcomer = outsiders[0]
            self._open(newcomer, self._voices[newcomer].onset_block, block, ())

    def _challenge(self, block: int) -> None:
        """The loudest outsider against the quietest member, the next against the next."""
        claims: dict[ParticipantId, float] = {}
        members = sorted(self._members, key=self._loudness)
        for newcomer, member in zip(self._outsiders(), members, strict=False):
            excess = self._loudness(newcomer) - self._loudness(member)
            if excess < MARGIN_LU:
                break
            claim = self._claims.get(newcomer, 0.0) + min(excess, CLAIM_LU_MOST)
            if not self._has_won(newcomer, member, excess, claim, block):
                claims[newcomer] = claim
                continue
            takeover = self._takeover_block(newcomer, member, excess, block)
            if takeover is None:
                claims[newcomer] = claim
                continue
            place = self._close(member, takeover).takeovers
            self._open(newcomer, takeover, block, place)
        self._claims = claims

    def _has_won(
        self,
        newcomer: ParticipantId,
        member: ParticipantId,
        excess: float,
        claim: float,
        block: int,
    ) -> bool:
        if self._loudness(member) < GATE_LUFS:
            return True
        left = self._voices[newcomer].onset_block - PREROLL_BLOCKS - (block - self._lookahead)
        if left > 0:
            return False
        return claim >= CLAIM_LU_BLOCKS or (left == 0 and excess >= ONSET_MARGIN_LU)

    def _takeover_block(
        self, newcomer: ParticipantId, member: ParticipantId, excess: float, block: int
    ) -> int | None:
        """Where in the look-ahead the places change hands; None while the member is on hold.

        At the newcomer's onset if it is still ahead, else where the newcomer became the louder.
        """
        earliest = block - self._lookahead
        onset = self._voices[newcomer].onset_block
        takeover = onset
        if onset < earliest:
            takeover = block + 1
            for levels in reversed(self._recent):
                if levels.get(newcomer, SILENCE_LUFS) <= levels.get(member, SILENCE_LUFS):
                    break
                takeover -= 1
            takeover = earliest if takeover > block else max(earliest, takeover)
        gate = self._members[member]
        takeovers = gate.takeovers
        if gate.open_block > earliest and takeover <= takeovers[-1]:
            return takeover  # nobody has heard the member, and nobody need
        held_until = takeovers[-1] + HOLD_BLOCKS
        is_burst = len(takeovers) == BURST_TAKEOVERS and onset < takeovers[0] + BURST_BLOCKS
        if onset >= earliest and excess >= RESUME_LU and not is_burst:
            return takeover
        if is_burst:
            held_until = max(held_until, takeovers[0] + BURST_BLOCKS)
        return None if held_until > block else max(takeover, held_until)

    def _outsiders(self) -> list[ParticipantId]:
        """The loudest who speak but are not heard, loudest first; as many as there are places."""
        loud = [
            key
            for key, voice in self._voices.items()
            if voice.loudness_lufs >= GATE_LUFS and key not in self._members
        ]
        loud.sort(key=self._loudness, reverse=True)
        return loud[: self._speakers]

    def _loudness(self, key: ParticipantId) -> float:
        return self._voices[key].loudness_lufs

    def _open(
        self, key: ParticipantId, start_block: int, block: int, place: tuple[int, ...]
    ) -> None:
        """Let a voice in from *start_block* on: earlier before an onset, never in the past.

        A gate that is just about to close stays open instead.
        """
        is_onset = start_block == self._voices[key].onset_block
        open_block = start_block - PREROLL_BLOCKS if is_onset else start_block
        open_block = max(open_block, block - self._lookahead, self._first_block)
        takeovers = (*place, max(start_block, open_block))[-BURST_TAKEOVERS:]
        for gate in self._closing:
            if (
                gate.voice == key
                and gate.close_block is not None
                and gate.close_block >= open_block
            ):
                self._closing.remove(gate)
                gate.close_block, gate.takeovers = None, takeovers
                self._members[key] = gate
                return
        self._members[key] = _Gate(key, open_block, takeovers)

    def _close(self, key: ParticipantId, block: int) -> _Gate:
        gate = self._members.pop(key)
        gate.close_block = max(block, gate.open_block)
        self._closing.append(gate)
        return gate

    def _retire(self, heard_block: int) -> None:
        """Note the turns of gates that have closed."""
        still = []
        for gate in self._closing:
            if gate.close_block is not None and gate.close_block <= heard_block:
                self._note_turn(gate, gate.close_block)
            else:
                still.append(gate)
        self._closing = still

    def _note_turn(self, gate: _Gate, end_block: int) -> None:
        if end_block > gate.open_block:
            self._turns.append(SpeakerTurn(gate.voice, gate.open_block, end_block))
