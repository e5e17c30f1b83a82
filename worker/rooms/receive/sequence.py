"""RTP sequence numbers: unwrapped to integers, restarts told from loss (RFC 3550, A.1)."""

from array import array

MAX_FORWARD = 3000
"""A larger step forward is a restart: at 500 packets/s it would be 6 s of loss."""
MAX_BACKWARD = 1000
"""A packet further behind is a restart: no retransmission comes 2 s late."""
_WINDOW = 4096
_NEVER = -(1 << 62)


class SequenceNumbers:
    """Unwraps sequence numbers of one SSRC and remembers which have been seen.

    One packet from outside the window is suspicious, two in a row are a restart.
    """

    def __init__(self, first: int) -> None:
        """*first* is the sequence number of the first packet, which is still to be `accept`ed."""
        self.newest = first - 1
        self.has_restarted = False
        self._suspect: int | None = None
        self._seen = array("q", [_NEVER]) * _WINDOW

    def unwrap(self, sequence: int) -> int | None:
        """The unwrapped number nearest to the newest one; None when it is out of reach."""
        newest = self.newest
        step = (sequence - newest + 0x8000 & 0xFFFF) - 0x8000
        if -MAX_BACKWARD <= step <= MAX_FORWARD:
            return newest + step
        return None

    def follow(self, sequence: int) -> int | None:
        """Like `unwrap`, for packets of the stream itself: sets `has_restarted` when due."""
        unwrapped = self.unwrap(sequence)
        if unwrapped is not None:
            self._suspect = None
        elif self._suspect is not None and sequence == self._suspect + 1 & 0xFFFF:
            self.has_restarted = True
        else:
            self._suspect = sequence
        return unwrapped

    def accept(self, unwrapped: int) -> bool:
        """Note that the packet is here; False when it was here before."""
        slot = unwrapped % _WINDOW
        if self._seen[slot] == unwrapped:
            return False
        self._seen[slot] = unwrapped
        if unwrapped > self.newest:
            self.newest = unwrapped
        return True
