"""What a VP9 frame says of itself before it is decoded (VP9 bitstream specification, 6.2 and B).

Sizes are read from every frame, not only from keyframes: a predicted one may bring its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.layout.geometry import Size
from worker.rooms.rtp.bits import BitReader
from worker.rooms.rtp.frames import checked_size
from worker.rooms.rtp.packet import BadPacket

MAX_FRAMES = 8
"""In one superframe; three bits count them."""
_HEADER_BYTES = 16
"""More than any header takes as far as it is read here."""
_SHOWS_EARLIER_PICTURE, _IS_PREDICTED, _IS_SHOWN, _IS_RESILIENT = 8, 4, 2, 1
_SYNC_CODE = 0x498342
_RGB = 7
_FRAME_REFERENCES = 3


@dataclass(frozen=True, slots=True)
class Vp9Header:
    """The beginning of one frame. `size` is None when it is that of an earlier picture."""

    is_keyframe: bool
    size: Size | None


def starts_with_keyframe(data: bytes) -> bool:
    """Whether the frame that begins with *data* is a keyframe of profile 0; never raises."""
    # The marker, profile 0, not an earlier picture, not predicted.
    return bool(data) and data[0] & 0xFC == 0x80


def read_header(frame: bytes) -> Vp9Header:
    """The header of one frame. Raises `BadPacket`, also for profiles other than 0."""
    flags = frame[0] if frame else 0
    if flags >> 6 != 2:
        raise BadPacket("VP9 frame without its marker")
    if flags & 0x30:
        raise BadPacket("VP9 profile is not 0")
    if flags & _SHOWS_EARLIER_PICTURE:
        return Vp9Header(is_keyframe=False, size=None)
    reader = BitReader(frame[1:_HEADER_BYTES])
    if not flags & _IS_PREDICTED:
        _read_sync_code(reader)
        if reader.bits(3) == _RGB:
            raise BadPacket("VP9 profile 0 has no RGB")
        reader.bits(1)  # colour range
        return Vp9Header(is_keyframe=True, size=_read_size(reader))
    is_intra = 0 if flags & _IS_SHOWN else reader.bits(1)
    if not flags & _IS_RESILIENT:
        reader.bits(2)  # which contexts to reset
    if is_intra:
        _read_sync_code(reader)
        reader.bits(8)  # pictures to replace
        return Vp9Header(is_keyframe=False, size=_read_size(reader))
    reader.bits(8 + 4 * _FRAME_REFERENCES)  # pictures to replace, pictures to predict from
    for _ in range(_FRAME_REFERENCES):
        if reader.bits(1):
            return Vp9Header(is_keyframe=False, size=None)
    return Vp9Header(is_keyframe=False, size=_read_size(reader))


def split_superframe(data: bytes) -> Sequence[bytes]:
    """The frames in *data*: one, or what an index at its end tells. Raises `BadPacket`."""
    marker = data[-1] if data else 0
    if marker & 0xE0 != 0xC0:
        return (data,)
    count, size_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    end = len(data) - 2 - count * size_bytes
    if end < 0 or data[end] != marker:
        return (data,)
    frames = []
    start = 0
    for at in range(end + 1, len(data) - 1, size_bytes):
        size = int.from_bytes(data[at : at + size_bytes], "little")
        if not 0 < size <= end - start:
            raise BadPacket("VP9 superframe index lies")
        frames.append(data[start : start + size])
        start += size
    return frames


def join_superframe(frames: Sequence[bytes]) -> bytes:
    """*frames* with an index behind them; a single one stays as it is. Raises `BadPacket`."""
    if len(frames) == 1:
        return frames[0]
    if len(frames) > MAX_FRAMES:
        raise BadPacket("VP9 picture of too many frames")
    size_bytes = max(1, -(-max(len(frame) for frame in frames).bit_length() // 8))
    marker = bytes((0xC0 | size_bytes - 1 << 3 | len(frames) - 1,))
    sizes = [len(frame).to_bytes(size_bytes, "little") for frame in frames]
    return b"".join((*frames, marker, *sizes, marker))


def _read_sync_code(reader: BitReader) -> None:
    if reader.bits(24) != _SYNC_CODE:
        raise BadPacket("VP9 frame without its sync code")


def _read_size(reader: BitReader) -> Size:
    return checked_size(reader.bits(16) + 1, reader.bits(16) + 1)
