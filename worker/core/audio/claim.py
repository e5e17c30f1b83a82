"""What a track says about how loud it is, and whether it is believed.

RFC 6464: senders may put the level of each packet beside it, 0 to -127 dBov, so that nobody has to
decode what nobody will hear. It is a plain RMS where loudness is K-weighted, and it is a claim.
"""

from dataclasses import dataclass

from worker.core.identity import ParticipantId, TrackId
from worker.core.timing import NS_PER_S, SAMPLE_RATE_HZ

SILENT_DBOV = -127
"""RFC 6464, section 3: digital silence, or a muted microphone."""
FAST_SAMPLES = SAMPLE_RATE_HZ // 10
"""100 ms: the shortest stretch by which loudness is compared (`onsets.SHORTEST_BLOCKS`)."""
SLOW_SAMPLES = 4 * SAMPLE_RATE_HZ // 10
"""400 ms, like momentary loudness."""
LONGEST_PACKET = 120 * SAMPLE_RATE_HZ // 1000
USUAL_PACKET = 20 * SAMPLE_RATE_HZ // 1000
STALE_NS = NS_PER_S
"""Who sent nothing for so long is silent; in a pause Opus sends a packet every 400 ms."""
MONO_LUFS = 2.3
"""A mono voice of -x dBov measures about -x + 2.3 LUFS: both channels count, less 0.7."""
EXAGGERATION_DB = 12.0
"""Claims above what was measured by more than this are no difference of weighting any more."""
NEWS_DB = 6.0
"""Whoever was not believed is believed again when the claim rises by this."""
DISBELIEF_NS = 60 * NS_PER_S
EXAMINED_NS = NS_PER_S
"""Claims of one such period are compared with what is measured in it and the next."""

_POWER = tuple(10 ** (-level / 10) for level in range(-SILENT_DBOV)) + (0.0,)


def power_of(level_db: float) -> float:
    """Mean square of a level relative to full scale."""
    return float(10 ** (level_db / 10))


@dataclass(slots=True)
class Claim:
    """One track's level as its packets tell it. Powers are mean squares; full scale is 1."""

    track_id: TrackId
    participant_id: ParticipantId
    fast: float = 0.0
    slow: float = 0.0
    heard_ns: int = -STALE_NS
    """When the newest packet arrived."""
    told_ns: int = -STALE_NS
    """When the newest packet with a level arrived."""
    is_listed: bool = False
    """Whether the track is decoded, since `moved_ns`."""
    moved_ns: int = 0
    held: float = 0.0
    """Of a listed track: the recent peak, falling slowly."""
    _timestamp: int = 0
    _trust: float = 1.0
    _distrusted: float = 0.0
    _distrusted_until_ns: int = 0
    _examined_ns: int = 0
    _peak: float = 0.0
    _peak_before: float = 0.0
    _measured: float = 0.0
    _measured_before: float = 0.0

    def follow(self, rtp_timestamp: int, level_dbov: int | None, arrival_ns: int) -> None:
        """Take in the next packet, in the order they arrive."""
        self.heard_ns = arrival_ns
        samples = rtp_timestamp - self._timestamp
        self._timestamp = rtp_timestamp
        if level_dbov is None:
            return
        self.told_ns = arrival_ns
        if not 0 < samples <= LONGEST_PACKET:  # the first one, a gap, or out of order
            samples = USUAL_PACKET
        power = _POWER[-level_dbov]
        self.fast += (power - self.fast) * min(1.0, samples / FAST_SAMPLES)
        self.slow += (power - self.slow) * (samples / SLOW_SAMPLES)
        if self.slow > self._peak:
            self._peak = self.slow

    def is_blind(self, now_ns: int) -> bool:
        """Whether the sender does not tell levels."""
        return self.heard_ns - self.told_ns >= STALE_NS and not self.is_stale(now_ns)

    def is_stale(self, now_ns: int) -> bool:
        """Whether nothing came for a second."""
        return now_ns - self.heard_ns >= STALE_NS

    def believed(self, power: float, now_ns: int) -> float:
        """*power*, or less when the track has lied about one as great."""
        if now_ns >= self._distrusted_until_ns or power > self._distrusted:
            return power
        return power * self._trust

    def move(self, *, listed: bool, now_ns: int) -> None:
        """Begin or end being decoded."""
        self.is_listed = listed
        self.moved_ns = self._examined_ns = now_ns
        self.held = self.fast
        # What was claimed before the first examined period is not held against the track.
        self._peak = self._peak_before = self._measured = self._measured_before = 0.0

    def examine(self, momentary_lufs: float, now_ns: int) -> None:
        """Compare with the measured loudness of the participant; of a listed track, regularly."""
        measured = power_of(momentary_lufs - MONO_LUFS)
        self._measured = max(self._measured, measured)
        if now_ns - self._examined_ns < EXAMINED_NS:
            return
        self._examined_ns = now_ns
        found = max(self._measured, self._measured_before)
        if found < self._peak_before * power_of(-EXAGGERATION_DB):
            self._trust = found / self._peak_before
            self._distrusted = self._peak_before * power_of(NEWS_DB)
            self._distrusted_until_ns = now_ns + DISBELIEF_NS
        self._peak_before, self._peak = self._peak, self.slow
        self._measured_before, self._measured = self._measured, 0.0
