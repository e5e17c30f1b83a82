"""How much later than the room the recording is composed.

The file is room time, so composing later costs it nothing: the delay grows as soon as media turns
out to need longer, and never shrinks.
"""

from worker.core.timing import NS_PER_MS

MOST_NS = 1600 * NS_PER_MS
"""Three requests over a round trip of 450 ms; what is later still is treated as lost."""
MARGIN_NS = 50 * NS_PER_MS
"""Beyond the latest media seen, so that the next frame that is a little later comes in time."""
STEP_NS = 50 * NS_PER_MS
"""It grows by whole steps: fewer and longer pauses for whoever watches live."""


class PlayoutDelay:
    """The delay of one job; whoever waits reads `now_ns` anew for every tick or batch.

    *picture_lead_ns* and *sound_lead_ns* are what decoding takes away of it.
    """

    def __init__(
        self, least_ns: int, *, most_ns: int = MOST_NS, picture_lead_ns: int, sound_lead_ns: int
    ) -> None:
        self.now_ns = least_ns
        self._most_ns = max(least_ns, most_ns)
        self._picture_lead_ns = picture_lead_ns
        self._sound_lead_ns = sound_lead_ns

    @property
    def picture_patience_ns(self) -> int:
        """How late the packets of a picture may come."""
        return max(0, self.now_ns - self._picture_lead_ns - MARGIN_NS)

    @property
    def sound_patience_ns(self) -> int:
        """How late a packet of sound may come."""
        return max(0, self.now_ns - self._sound_lead_ns)

    def need(self, *, repair_ns: int = 0, picture_late_ns: int = 0, sound_late_ns: int = 0) -> bool:
        """Grow to what is needed, if it is more than there is; returns whether it grew.

        *repair_ns* is a whole delay; the others say how much later than the promptest media of
        its sender the latest came.
        """
        needed_ns = max(
            repair_ns,
            picture_late_ns + self._picture_lead_ns + MARGIN_NS,
            sound_late_ns + self._sound_lead_ns,
        )
        if needed_ns <= self.now_ns:
            return False
        steps = -(-(needed_ns - self.now_ns) // STEP_NS)
        before_ns, self.now_ns = self.now_ns, min(self._most_ns, self.now_ns + steps * STEP_NS)
        return self.now_ns > before_ns
