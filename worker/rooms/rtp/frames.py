"""What video payload formats have in common, as seen by whoever puts frames together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.core.layout.geometry import Size
from worker.rooms.rtp.packet import BadPacket

MAX_SIDE_PX = 4096
MAX_AREA_PX = 4096 * 2304
"""Larger pictures are refused before a decoder allocates for them; either orientation."""


@dataclass(frozen=True, slots=True)
class AssembledFrame:
    """One access unit, ready for a decoder."""

    data: bytes
    is_keyframe: bool
    size: Size | None
    """Of a keyframe, read from the bitstream."""


class VideoFormat(Protocol):
    """Knows one codec's payloads. Holds what carries over from frame to frame."""

    def starts_frame(self, payload: bytes) -> bool:
        """Whether *payload* is surely the first of its frame."""
        ...

    def starts_keyframe(self, payload: bytes) -> bool:
        """Whether *payload* carries the beginning of a keyframe; never raises."""
        ...

    def assemble(self, payloads: Sequence[bytes]) -> AssembledFrame:
        """Join the non-empty payloads of one frame. Raises `BadPacket`."""
        ...


def checked_size(width: int, height: int) -> Size:
    """A picture size within our limits. Raises `BadPacket`."""
    if width <= 0 or height <= 0:
        raise BadPacket("picture without pixels")
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_AREA_PX:
        raise BadPacket(f"picture of {width}x{height} is too large")
    return Size(width, height)
