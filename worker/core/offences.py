"""What one video source may send and cost, and what becomes of one that breaks the rules.

It is muted for half a minute (nothing of it is decoded or asked for), then tried again, and after
the third time dropped for the job. So a broken or hostile publisher costs the others nothing.
"""

from collections import Counter, deque
from enum import Enum

from worker.core.budget import Budget
from worker.core.timing import NS_PER_MS, NS_PER_S

MAX_FRAME_BYTES = 1 << 20
MAX_BITRATE_BPS = 16_000_000
MAX_FRAMES_PER_S = 66
"""Sixty, by a sender's clock that is not ours, or after a hiccup of its camera."""
BURST_S = 5
"""What a path held back arrives at once when it is free again."""
MAX_DECODE_NS = 200 * NS_PER_MS
"""CPU time for one frame; a frame of the largest size takes a third of it."""

STRIKES = 5
STRIKES_WITHIN_NS = 10 * NS_PER_S
"""A source that errs more rarely is a nuisance to nobody."""
MUTE_NS = 30 * NS_PER_S
MUTES = 3
FORGIVEN_NS = 600 * NS_PER_S
"""Mutes before so long a time of good conduct count no more."""


class Offence(Enum):
    """A rule that was broken."""

    UNDECODABLE = "undecodable"
    """The decoder refused a frame: damaged, or a picture above the largest size."""
    FRAME_TOO_LARGE = "frame_too_large"
    TOO_MUCH_DATA = "too_much_data"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_EXPENSIVE = "too_expensive"
    """A frame took more CPU time than any honest one does."""
    DECODER_STUCK = "decoder_stuck"
    """The decoder did not come back from a frame; the source is dropped at once."""


class Allowance:
    """What one track may send. Times do not go back."""

    def __init__(self) -> None:
        self._bytes = Budget(MAX_BITRATE_BPS // 8, BURST_S)
        self._frames = Budget(MAX_FRAMES_PER_S, BURST_S)

    def exceeded_by(self, size_bytes: int, now_ns: int) -> Offence | None:
        """What is wrong with a frame of *size_bytes* that arrives at *now_ns*."""
        if size_bytes > MAX_FRAME_BYTES:
            return Offence.FRAME_TOO_LARGE
        if not self._frames.take(1, now_ns):
            return Offence.TOO_MANY_FRAMES
        if not self._bytes.take(size_bytes, now_ns):
            return Offence.TOO_MUCH_DATA
        return None


class Conduct:
    """The record of one source, across the tracks it is published as. Times do not go back."""

    def __init__(self) -> None:
        self.offences: Counter[Offence] = Counter()
        self.mutes = 0
        """How often the source was muted, in all."""
        self.is_dropped = False
        self._strikes: deque[int] = deque(maxlen=STRIKES)
        self._muted_until_ns = 0
        self._lives = MUTES

    def is_muted(self, now_ns: int) -> bool:
        """Whether nothing of the source may be looked at now."""
        return self.is_dropped or now_ns < self._muted_until_ns

    def strike(self, offence: Offence, now_ns: int) -> bool:
        """Note an offence; whether the source is muted or dropped for it."""
        self.offences[offence] += 1
        if self.is_muted(now_ns):
            return False
        if offence is Offence.DECODER_STUCK:
            self.is_dropped = True
            return True
        self._strikes.append(now_ns)
        if len(self._strikes) < STRIKES or now_ns - self._strikes[0] > STRIKES_WITHIN_NS:
            return False
        self._mute(now_ns)
        return True

    def _mute(self, now_ns: int) -> None:
        self._strikes.clear()
        if now_ns - self._muted_until_ns > FORGIVEN_NS:
            self._lives = MUTES
        if self._lives == 0:
            self.is_dropped = True
            return
        self._lives -= 1
        self.mutes += 1
        self._muted_until_ns = now_ns + MUTE_NS
