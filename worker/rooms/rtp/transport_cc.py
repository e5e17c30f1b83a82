"""Transport-wide feedback as bytes: RTPFB 15 of draft-holmer-rmcat-transport-wide-cc-01, 3.1."""

from collections.abc import Iterator, Sequence
from struct import Struct

from worker.core.timing import NS_PER_MS

TICK_NS = NS_PER_MS // 4
"""Unit of the differences between arrivals."""
_REFERENCE_TICKS = 256
"""The reference time counts in 64 ms."""
_FORMAT = 15
_TRANSPORT_FEEDBACK = 205
_HEADER = Struct("!BBHIIHHI")
_DELTA = Struct("!h")
_MAX_RUN = 0x1FFF
_ONE_BIT_STATUSES = 14
_TWO_BIT_STATUSES = 7

_LOST, _SMALL, _LARGE = 0, 1, 2


def build_transport_feedback(
    *,
    sender_ssrc: int,
    media_ssrc: int,
    count: int,
    first: int,
    arrivals: Sequence[int | None],
    base: int,
) -> bytes:
    """One feedback packet about the numbers from *first* on; *count* numbers the packets.

    *arrivals*, 1 to 8191, are in units of 250 us, None for what did not come; neighbours that
    came differ by 16 signed bits at most. *base* is the first of those that came, or close by
    when none did.
    """
    reference = base // _REFERENCE_TICKS
    previous = reference * _REFERENCE_TICKS
    statuses: list[int] = []
    deltas = bytearray()
    for arrival in arrivals:
        if arrival is None:
            statuses.append(_LOST)
            continue
        delta = arrival - previous
        previous = arrival
        if 0 <= delta <= 0xFF:
            statuses.append(_SMALL)
            deltas.append(delta)
        else:
            statuses.append(_LARGE)
            deltas += _DELTA.pack(delta)
    chunks = b"".join(chunk.to_bytes(2, "big") for chunk in _chunks(statuses))
    padding = -(len(chunks) + len(deltas)) % 4
    words = 4 + (len(chunks) + len(deltas) + padding) // 4
    header = _HEADER.pack(
        0x80 | _FORMAT,
        _TRANSPORT_FEEDBACK,
        words,
        sender_ssrc,
        media_ssrc,
        first & 0xFFFF,
        len(statuses),
        (reference & 0xFFFFFF) << 8 | count & 0xFF,
    )
    return header + chunks + deltas + bytes(padding)


def _chunks(statuses: Sequence[int]) -> Iterator[int]:
    """Run lengths where they pay, else vectors of one bit, else of two (3.1.3, 3.1.4)."""
    position, end = 0, len(statuses)
    while position < end:
        run = _run(statuses, position)
        if run >= _ONE_BIT_STATUSES or position + run == end:
            yield statuses[position] << 13 | run
            position += run
            continue
        vector = statuses[position : position + _ONE_BIT_STATUSES]
        if _LARGE not in vector:
            yield 0x8000 | _packed(vector, bits=1, places=_ONE_BIT_STATUSES)
        else:
            vector = vector[:_TWO_BIT_STATUSES]
            yield 0xC000 | _packed(vector, bits=2, places=_TWO_BIT_STATUSES)
        position += len(vector)


def _run(statuses: Sequence[int], start: int) -> int:
    status = statuses[start]
    end = min(len(statuses), start + _MAX_RUN)
    position = start + 1
    while position < end and statuses[position] == status:
        position += 1
    return position - start


def _packed(vector: Sequence[int], *, bits: int, places: int) -> int:
    packed = 0
    for status in vector:
        packed = packed << bits | status
    return packed << bits * (places - len(vector))
