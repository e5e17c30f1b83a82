"""Reads headers of video bitstreams bit by bit, most significant bit first."""

from worker.rooms.rtp.packet import BadPacket


class BitReader:
    """Over all bits of *data*; every method raises `BadPacket` when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        """The next *count* bits as an unsigned number."""
        if count > self._left:
            raise BadPacket("video header is cut off")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        """An unsigned Exp-Golomb number below 2^32 (ITU-T H.264, 9.1)."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 31:
                raise BadPacket("video header has an endless number")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb number (ITU-T H.264, 9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
