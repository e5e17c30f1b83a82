"""RTP timestamps of one SSRC: unwrapped, and split into epochs where the sender's clock jumps."""

from worker.core.timing import NS_PER_S

STEP_NS = NS_PER_S
"""A timestamp that moves this far from where the arrival says it should be starts an epoch."""


class Timeline:
    """Places timestamps of one SSRC. Epochs count up from the one given."""

    def __init__(self, *, epoch: int, clock_hz: int) -> None:
        self.epoch = epoch
        self._clock_hz = clock_hz
        self._newest: int | None = None
        self._newest_arrival_ns = 0

    @property
    def has_begun(self) -> bool:
        """Whether anything has been placed yet."""
        return self._newest is not None

    def place(self, timestamp: int, arrival_ns: int, *, is_newest: bool) -> int | None:
        """The unwrapped timestamp within `epoch`, which this call may have raised.

        A pause is no jump: after silence the timestamp has moved as much as the clock. Nor is a
        stall of the network: the clock has moved, the timestamp hasn't. None for a packet that
        is not the newest and more than a second off: late, or from before a jump.
        """
        if self._newest is None:
            self._newest, self._newest_arrival_ns = timestamp, arrival_ns
            return timestamp
        step = self._step(timestamp)
        if not is_newest:
            is_near = abs(step) * NS_PER_S <= STEP_NS * self._clock_hz
            return self._newest + step if is_near else None
        if self._is_jump(step, arrival_ns):
            self.epoch += 1
            self._newest = timestamp
        else:
            self._newest += step
        self._newest_arrival_ns = arrival_ns
        return self._newest

    def locate(self, timestamp: int, arrival_ns: int) -> int | None:
        """The unwrapped timestamp of a sender report; None when it does not fit this epoch."""
        if self._newest is None:
            return None
        step = self._step(timestamp)
        if self._is_jump(step, arrival_ns):
            return None
        return self._newest + step

    def _step(self, timestamp: int) -> int:
        assert self._newest is not None
        return (timestamp - self._newest + 0x80000000 & 0xFFFFFFFF) - 0x80000000

    def _is_jump(self, step: int, arrival_ns: int) -> bool:
        step_ns = step * NS_PER_S // self._clock_hz
        if -STEP_NS <= step_ns <= STEP_NS:
            return False
        return abs(step_ns - (arrival_ns - self._newest_arrival_ns)) > STEP_NS
