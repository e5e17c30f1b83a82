"""Boxes, the bricks of an MP4 file: read from bytes, and built (ISO/IEC 14496-12, section 4.2)."""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.errors import MediaError

HEADER_BYTES = 8
LARGE_HEADER_BYTES = 16
_FITS_32_BITS = 1 << 32


@dataclass(frozen=True, slots=True)
class Box:
    """Where one box lies in the bytes it was read from."""

    kind: bytes
    start: int
    header_bytes: int
    size: int
    """Header included; 0 for a box that says it reaches to the end of the file."""

    @property
    def body(self) -> int:
        return self.start + self.header_bytes

    @property
    def end(self) -> int:
        return self.start + self.size


def read_header(data: bytes | bytearray | memoryview, start: int = 0) -> Box | None:
    """The box that begins at *start*; None when its header is not all there.

    The box itself need not be there. Raises `MediaError` for a size that cannot be.
    """
    if len(data) < start + HEADER_BYTES:
        return None
    size = int.from_bytes(data[start : start + 4], "big")
    kind = bytes(data[start + 4 : start + 8])
    header_bytes = HEADER_BYTES
    if size == 1:
        if len(data) < start + LARGE_HEADER_BYTES:
            return None
        size = int.from_bytes(data[start + 8 : start + 16], "big")
        header_bytes = LARGE_HEADER_BYTES
    if 0 < size < header_bytes:
        raise MediaError(f"a box of {size} bytes")
    return Box(kind, start, header_bytes, size)


def children(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes between *start* and *end*, which they fill. Raises `MediaError` otherwise."""
    while start < end:
        box = read_header(data, start)
        if box is None or box.size == 0 or box.end > end:
            raise MediaError("a box reaches out of the one it is in")
        yield box
        start = box.end


def within(data: bytes, box: Box) -> list[Box]:
    """The boxes in *box*, which holds nothing else. Raises `MediaError`."""
    return list(children(data, box.body, box.end))


def only(kind: bytes, boxes: list[Box]) -> Box:
    """The one box of *kind* among *boxes*. Raises `MediaError` unless it is exactly one."""
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise MediaError(f"{len(found)} boxes of type {kind.decode('latin-1')}, not one")
    return found[0]


def header(kind: bytes, size: int) -> bytes:
    """The header of a box of *size* bytes, itself included: eight, or sixteen if it is large."""
    if size < _FITS_32_BITS:
        return size.to_bytes(4, "big") + kind
    return b"\0\0\0\1" + kind + size.to_bytes(8, "big")


def box(kind: bytes, *body: bytes) -> bytes:
    """A small box around *body*."""
    return header(kind, HEADER_BYTES + sum(map(len, body))) + b"".join(body)
