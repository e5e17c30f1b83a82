import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.red import MAX_AGE, MAX_BLOCKS, MAX_COPY_BYTES, RedBlock, join_red, split_red


def test_the_blocks_of_a_packet_come_oldest_first() -> None:
    # Opus 111 twice: 960 ticks ago 3 bytes, 1920 ticks ago 2; RFC 2198 section 3.
    payload = bytes.fromhex("ef1e0002 ef0f0003 6f aaaa bbbbbb cc")
    assert split_red(payload) == [
        RedBlock(111, 1920, b"\xaa\xaa"),
        RedBlock(111, 960, b"\xbb\xbb\xbb"),
        RedBlock(111, 0, b"\xcc"),
    ]


def test_a_packet_may_carry_its_own_block_alone() -> None:
    assert split_red(b"\x6fabc") == [RedBlock(111, 0, b"abc")]


def test_empty_blocks_are_left_out() -> None:
    assert split_red(bytes.fromhex("ef0f0000 6f cc")) == [RedBlock(111, 0, b"\xcc")]
    assert split_red(b"\x6f") == []


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "ef",
        "ef0f00",
        "ef0f0003",  # nothing after the header of a copy
        "ef0f0003 6f aabb",  # a copy longer than the packet
        "ef0f03ff 6f" + "00" * 1022,
        "ef0f0001" * MAX_BLOCKS + "6f" + "aa" * 20,
    ],
)
def test_lengths_that_lie_and_too_many_blocks_are_refused(payload: str) -> None:
    with pytest.raises(BadPacket):
        split_red(bytes.fromhex(payload))


BLOCKS = st.builds(
    RedBlock,
    st.integers(0, 127),
    st.integers(1, MAX_AGE),
    st.binary(min_size=1, max_size=MAX_COPY_BYTES),
)


@given(st.lists(BLOCKS, max_size=MAX_BLOCKS - 1), st.binary(min_size=1, max_size=1200))
def test_what_is_joined_is_split_again(copies: list[RedBlock], own: bytes) -> None:
    blocks = [*copies, RedBlock(111, 0, own)]
    assert split_red(join_red(blocks)) == blocks


@given(st.binary(max_size=60))
def test_any_payload_is_split_or_refused(payload: bytes) -> None:
    try:
        blocks = split_red(payload)
    except BadPacket:
        return
    assert sum(len(block.payload) for block in blocks) < len(payload)
