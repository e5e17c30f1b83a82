import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import DestinationRefused
from worker.storage.keys import alternatives, is_alternative
from worker.storage.part_plan import etag_of, part_count, part_range

MIB = 1 << 20


def test_parts_lie_side_by_side_and_grow_so_that_ten_thousand_hold_175_gib() -> None:
    end, sizes = 0, []
    for number in range(1, 10_001):
        start, behind = part_range(number)
        assert start == end
        sizes.append((behind - start) // MIB)
        end = behind
    assert sizes[0] == sizes[5999] == 5
    assert [sizes[6000], sizes[7000], sizes[8000], sizes[9000]] == [10, 20, 40, 80]
    assert end // (1 << 30) == 175
    with pytest.raises(DestinationRefused):
        part_range(10_001)


@given(st.integers(0, 170 << 30))
def test_every_byte_is_in_a_part_and_no_part_is_empty(size: int) -> None:
    count = part_count(size)
    start, end = part_range(count)
    assert end >= size
    assert start < size or size == 0


@pytest.mark.parametrize(
    ("size", "count"), [(0, 1), (1, 1), (5 * MIB, 1), (5 * MIB + 1, 2), (10 * MIB, 2)]
)
def test_counts_at_the_edges(size: int, count: int) -> None:
    assert part_count(size) == count


def test_the_etag_of_parts_is_amazons() -> None:
    digests = [hashlib.md5(b"a").digest(), hashlib.md5(b"b").digest()]
    # Of the MD5s 0cc175b9c0f1b6a831c399e269772661 and 92eb5ffee6ae2fec3ad71c777531578f.
    assert etag_of(digests) == f"{hashlib.md5(b''.join(digests)).hexdigest()}-2"


def test_names_that_are_taken_are_counted_on() -> None:
    names = alternatives("a/b.c/d.mp4")
    assert [next(names) for _ in range(3)] == ["a/b.c/d.mp4", "a/b.c/d_1.mp4", "a/b.c/d_2.mp4"]
    assert next(iter(alternatives("a.b/c"))) == "a.b/c"
    assert is_alternative("a/d_17.mp4", "a/d.mp4") and is_alternative("a/d.mp4", "a/d.mp4")
    for other in ("a/d_x.mp4", "a/d_0.mp4", "a/d_1.ts", "a/dd.mp4", "a/d_1_1.mp4", "b/d.mp4"):
        assert not is_alternative(other, "a/d.mp4")
