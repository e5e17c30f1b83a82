"""MPEG-TS read packet by packet, as the standard has it (ISO/IEC 13818-1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKET_BYTES = 188


@dataclass(frozen=True)
class TsPacket:
    pid: int
    counter: int
    has_payload: bool
    begins_unit: bool
    is_random_access: bool


def packets(path: Path) -> Iterator[TsPacket]:
    """All packets of a file, which must consist of nothing else."""
    data = path.read_bytes()
    assert data, f"{path} is empty"
    assert len(data) % PACKET_BYTES == 0, f"{path} ends within a packet"
    for start in range(0, len(data), PACKET_BYTES):
        head = data[start : start + 6]
        assert head[0] == 0x47, "out of step"
        has_field = head[3] & 0x20 and head[4] > 0
        yield TsPacket(
            pid=(head[1] & 0x1F) << 8 | head[2],
            counter=head[3] & 0x0F,
            has_payload=bool(head[3] & 0x10),
            begins_unit=bool(head[1] & 0x40),
            is_random_access=bool(has_field and head[5] & 0x40),
        )


def discontinuities(paths: list[Path]) -> list[str]:
    """Where a continuity counter does not follow the one before, over all *paths* in a row."""
    last: dict[int, int] = {}
    found = []
    for path in paths:
        for number, packet in enumerate(packets(path)):
            step = 1 if packet.has_payload else 0
            before = last.get(packet.pid)
            if before is not None and packet.counter != (before + step) & 0x0F:
                found.append(f"{path.name} packet {number} pid {packet.pid}")
            last[packet.pid] = packet.counter
    return found
