"""Which tracks are decoded at all: in a large room only those that may be heard.

Whom one hears is decided by loudness, which takes decoding; but what the senders tell of their
levels is enough to leave out those who are certainly not among the loudest few.
"""

from collections.abc import Collection, Mapping, Sequence

from worker.core.audio.claim import Claim, power_of
from worker.core.audio.onsets import GATE_LUFS
from worker.core.identity import ParticipantId, TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S

SMALL_ROOM = 9
"""Tracks; so few are all decoded, whatever is told of their levels."""
CONTENDERS = 4
"""More than are heard at once: K-weighting moves voices by some 3 dB against each other."""
BLIND_PLACES = 16
"""For tracks whose senders do not tell levels; when there are more they take turns."""
TRACKS_EACH = 4
"""Of one participant; the loudest ones."""
FLOOR_DBOV = -75
FLOOR = power_of(FLOOR_DBOV)
"""Below this nobody is heard: K-weighting and two channels add 7 dB at most to what is told."""
LISTED_BONUS = power_of(3.0)
"""A newcomer must be louder by this than the one whose place it takes."""
HOLD_NS = 500 * NS_PER_MS
HOLD_BONUS = power_of(6.0)
"""Who has just been listed stays for half a second, unless others are much louder."""
FALL_PER_S = power_of(-10.0)
"""The held peak of a listed track falls by 10 dB a second: syllables have pauses between them."""
EVICTIONS = 3
"""In one choice: a new decoder has 200 ms to catch up with, and that is CPU."""
TURN_NS = NS_PER_S
"""A track of unknown level is listened to this long before another one may take its place."""
_PROTECTED = 1e9


class Shortlist:
    """The tracks that are decoded; `choose` every few blocks. Instants are of arrival."""

    def __init__(self, speakers: int) -> None:
        self.places = speakers + CONTENDERS
        self._chosen_ns = 0

    def choose(
        self,
        claims: Sequence[Claim],
        heard: Collection[ParticipantId],
        loudness_lufs: Mapping[ParticipantId, float],
        now_ns: int,
    ) -> set[TrackId]:
        """The tracks to decode from now on.

        *heard* are those in the mix, now or in the look-ahead: they stay. *loudness_lufs* is what
        was measured of participants that are decoded.
        """
        fall = FALL_PER_S ** (max(0, now_ns - self._chosen_ns) / NS_PER_S)
        self._chosen_ns = now_ns
        for claim in claims:
            if claim.is_listed:
                claim.held = max(claim.slow, claim.held * fall)
                claim.examine(loudness_lufs.get(claim.participant_id, -120.0), now_ns)
        if len(claims) <= max(SMALL_ROOM, self.places):
            chosen = {claim.track_id for claim in claims}
        else:
            chosen = self._loudest(claims, heard, now_ns)
            chosen |= self._blind(claims, heard, loudness_lufs, now_ns)
        for claim in claims:
            if claim.is_listed is not (claim.track_id in chosen):
                claim.move(listed=not claim.is_listed, now_ns=now_ns)
        return chosen

    def _loudest(
        self, claims: Sequence[Claim], heard: Collection[ParticipantId], now_ns: int
    ) -> set[TrackId]:
        scores = []
        for claim in claims:
            if not claim.is_blind(now_ns):
                score = self._score(claim, heard, now_ns)
                if score > 0.0:
                    scores.append((score, claim))
        scores.sort(key=_first, reverse=True)
        kept: list[Claim] = []
        each: dict[ParticipantId, int] = {}
        for _, claim in scores:
            count = each.get(claim.participant_id, 0)
            if count < TRACKS_EACH:
                each[claim.participant_id] = count + 1
                kept.append(claim)
        chosen = kept[: self.places]
        listed = [claim for claim in kept[self.places :] if claim.is_listed]
        newcomers = [claim for claim in chosen if not claim.is_listed]
        # Free places may all be taken at once, but only so many listed ones are turned out.
        spared = listed[: max(0, len(listed) - EVICTIONS)]
        refused = {claim.track_id for claim in newcomers[max(0, len(newcomers) - len(spared)) :]}
        return {c.track_id for c in (*chosen, *spared) if c.track_id not in refused}

    def _score(self, claim: Claim, heard: Collection[ParticipantId], now_ns: int) -> float:
        """How much a track is worth listening to; nothing below the floor."""
        if claim.is_stale(now_ns):
            loud = 0.0
        else:
            loud = max(claim.fast, claim.held) if claim.is_listed else claim.fast
            loud = claim.believed(loud, now_ns)
        if not claim.is_listed:
            return loud if loud >= FLOOR else 0.0
        if claim.participant_id in heard:
            return _PROTECTED + loud
        on_hold = now_ns - claim.moved_ns < HOLD_NS
        if loud < FLOOR:
            return FLOOR if on_hold else 0.0
        return loud * (HOLD_BONUS if on_hold else LISTED_BONUS)

    def _blind(
        self,
        claims: Sequence[Claim],
        heard: Collection[ParticipantId],
        loudness_lufs: Mapping[ParticipantId, float],
        now_ns: int,
    ) -> set[TrackId]:
        """Who is heard, speaks or has just got the place; then who waits, longest first."""

        def rank(claim: Claim) -> tuple[int, int]:
            if not claim.is_listed:
                return 3, claim.moved_ns
            if claim.participant_id in heard:
                return 0, 0
            if loudness_lufs.get(claim.participant_id, -120.0) >= GATE_LUFS:
                return 1, claim.moved_ns
            return (2, 0) if now_ns - claim.moved_ns < TURN_NS else (4, -claim.moved_ns)

        blind = sorted((claim for claim in claims if claim.is_blind(now_ns)), key=rank)
        return {claim.track_id for claim in blind[:BLIND_PLACES]}


def _first(scored: tuple[float, Claim]) -> float:
    return scored[0]
