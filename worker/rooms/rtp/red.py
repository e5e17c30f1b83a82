"""Redundant audio (RFC 2198): one packet carries its own block and copies of those before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.rooms.rtp.packet import BadPacket

MAX_BLOCKS = 8
"""In one packet, its own included; each becomes a frame, so a small packet must not make many."""
MAX_AGE = (1 << 14) - 1
MAX_COPY_BYTES = (1 << 10) - 1


@dataclass(frozen=True, slots=True)
class RedBlock:
    """One block. `age` is by how many ticks its timestamp is before the packet's."""

    payload_type: int
    age: int
    payload: bytes


def split_red(payload: bytes) -> Sequence[RedBlock]:
    """The blocks of a packet, its own last. Raises `BadPacket`.

    Empty ones are left out, and copies without an age, which would stand in for its own.
    """
    headers: list[tuple[int, int, int]] = []
    position = 0
    while position < len(payload) and payload[position] & 0x80:
        header = int.from_bytes(payload[position : position + 4], "big")
        headers.append((header >> 24 & 0x7F, header >> 10 & MAX_AGE, header & MAX_COPY_BYTES))
        position += 4
        if len(headers) >= MAX_BLOCKS:
            raise BadPacket("redundant audio of too many blocks")
    if position >= len(payload):
        raise BadPacket("redundant audio is cut off")
    own_type = payload[position]
    position += 1
    blocks = []
    for payload_type, age, size in headers:
        if age and size:
            blocks.append(RedBlock(payload_type, age, payload[position : position + size]))
        position += size
    if position > len(payload):
        raise BadPacket("redundant audio is cut off")
    if position < len(payload):
        blocks.append(RedBlock(own_type, 0, payload[position:]))
    return blocks


def join_red(blocks: Sequence[RedBlock]) -> bytes:
    """The payload of a packet from its *blocks*, its own last; copies are within the limits."""
    *copies, own = blocks
    headers = [
        (1 << 31 | copy.payload_type << 24 | copy.age << 10 | len(copy.payload)).to_bytes(4, "big")
        for copy in copies
    ]
    return b"".join((*headers, bytes((own.payload_type,)), *(block.payload for block in blocks)))
