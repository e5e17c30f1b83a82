"""Which bytes of a file are which part of its upload. Pure arithmetic on the part's number.

The same for every file, so that whoever finishes an upload after a crash cuts as the first did.
S3: at most 10,000 parts, of 5 MiB at least, but for the last.
"""

import hashlib
from collections.abc import Sequence

from worker.errors import DestinationRefused

PART_BYTES = 5 << 20
"""The smallest a store takes: 9 s of 720p, and 93 s of the leanest template."""
EVEN_PARTS = 6000
"""All of one size up to 29 GiB, half a day of 720p: some stores want that."""
DOUBLING_PARTS = 1000
"""After those the size doubles each so many parts: 175 GiB in all, and 80 MiB at most in memory."""
MOST_PARTS = 10_000


def part_range(number: int) -> tuple[int, int]:
    """First byte of part *number* (from 1), and the first behind it.

    Raises `DestinationRefused` beyond 10,000 parts.
    """
    if number > MOST_PARTS:
        raise DestinationRefused("the file is too large for an upload in parts: 175 GiB at most")
    if number <= EVEN_PARTS:
        return (number - 1) * PART_BYTES, number * PART_BYTES
    doublings, within = divmod(number - 1 - EVEN_PARTS, DOUBLING_PARTS)
    size = PART_BYTES << (doublings + 1)
    # 2 + 4 + … + 2^d = 2^(d+1) - 2
    before = EVEN_PARTS + DOUBLING_PARTS * ((2 << doublings) - 2)
    start = before * PART_BYTES + within * size
    return start, start + size


def part_count(size: int) -> int:
    """How many parts a file of *size* bytes has; an empty one has one."""
    number = min(max(1, size // PART_BYTES), EVEN_PARTS)
    while part_range(number)[1] < size:
        number += 1
    return number


def etag_of(md5s: Sequence[bytes]) -> str:
    """The etag S3 gives to an object put together of parts with these MD5 digests."""
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"
