"""Picture size from an H.264 sequence parameter set (ITU-T H.264, 7.3.2.1.1)."""

from worker.core.layout.geometry import Size
from worker.rooms.rtp.bits import BitReader
from worker.rooms.rtp.frames import checked_size
from worker.rooms.rtp.packet import BadPacket

_PROFILES_WITH_CHROMA_FORMAT = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_MAX_SPS_BYTES = 1024


def picture_size(sps: bytes) -> Size:
    """Size after cropping, px; *sps* is the NAL unit with its header. Raises `BadPacket`.

    What is cropped away counts as well: a decoder allocates and decodes it all, and FFmpeg's own
    limit looks at the size after cropping.
    """
    if len(sps) > _MAX_SPS_BYTES:
        raise BadPacket("H.264 parameter set is too long")
    # Emulation prevention bytes are no part of it (7.4.1).
    reader = BitReader(sps[1:].replace(b"\0\0\x03", b"\0\0"))
    profile = reader.bits(8)
    reader.bits(16)  # constraint flags and level
    reader.unsigned()  # id
    chroma_format = 1
    has_separate_planes = 0
    if profile in _PROFILES_WITH_CHROMA_FORMAT:
        chroma_format = reader.unsigned()
        if chroma_format > 3:
            raise BadPacket("H.264 chroma format is unknown")
        if chroma_format == 3:
            has_separate_planes = reader.bits(1)
        reader.unsigned()  # luma bit depth
        reader.unsigned()  # chroma bit depth
        reader.bits(1)
        if reader.bits(1):
            for index in range(12 if chroma_format == 3 else 8):
                if reader.bits(1):
                    _skip_scaling_list(reader, 16 if index < 6 else 64)
    reader.unsigned()  # frame number length
    _skip_picture_order(reader)
    reader.unsigned()  # reference frames
    reader.bits(1)
    width_macroblocks = reader.unsigned() + 1
    height_units = reader.unsigned() + 1
    is_progressive = reader.bits(1)
    if not is_progressive:
        reader.bits(1)
    reader.bits(1)
    width = 16 * width_macroblocks
    height = 16 * height_units * (2 - is_progressive)
    checked_size(width, height)
    if reader.bits(1):
        left, right = reader.unsigned(), reader.unsigned()
        top, bottom = reader.unsigned(), reader.unsigned()
        sampled = 0 if has_separate_planes else chroma_format
        width -= (left + right) * (2 if sampled in (1, 2) else 1)
        height -= (top + bottom) * (2 if sampled == 1 else 1) * (2 - is_progressive)
    return checked_size(width, height)


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.signed() + 256) % 256
        last = following or last


def _skip_picture_order(reader: BitReader) -> None:
    form = reader.unsigned()
    if form == 0:
        reader.unsigned()
    elif form == 1:
        reader.bits(1)
        reader.signed()
        reader.signed()
        cycle = reader.unsigned()
        if cycle > 255:
            raise BadPacket("H.264 picture order cycle is too long")
        for _ in range(cycle):
            reader.signed()
