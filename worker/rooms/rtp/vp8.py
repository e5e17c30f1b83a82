"""VP8 in RTP (RFC 7741): a descriptor of 1 to 6 bytes before each piece of a frame."""

from collections.abc import Sequence

from worker.core.layout.geometry import Size
from worker.rooms.rtp.frames import AssembledFrame, checked_size
from worker.rooms.rtp.packet import BadPacket

_START_CODE = b"\x9d\x01\x2a"
_KEYFRAME_HEADER_BYTES = 10


def descriptor_bytes(payload: bytes) -> int:
    """Length of the payload descriptor. Raises `BadPacket` when nothing follows it."""
    size = len(payload)
    if size < 2:
        raise BadPacket("VP8 payload is cut off")
    length = 1
    if payload[0] & 0x80:  # X: extension byte
        extension = payload[1]
        length = 2
        if extension & 0x80:  # I: picture id of one or two bytes
            if size <= length:
                raise BadPacket("VP8 picture id is cut off")
            length += 2 if payload[length] & 0x80 else 1
        if extension & 0x40:  # L: temporal level 0 index
            length += 1
        if extension & 0x30:  # T or K: temporal layer and key index share a byte
            length += 1
    if size <= length:
        raise BadPacket("VP8 payload without data")
    return length


def is_keyframe(frame: bytes) -> bool:
    """Whether a VP8 frame is a keyframe: the lowest bit of its tag is clear (RFC 6386, 9.1)."""
    return bool(frame) and not frame[0] & 1


def keyframe_size(frame: bytes) -> Size:
    """Picture size from a keyframe's header. Raises `BadPacket`."""
    if len(frame) < _KEYFRAME_HEADER_BYTES or frame[3:6] != _START_CODE:
        raise BadPacket("VP8 keyframe without a start code")
    # The upper two bits are an upscaling hint that decoders ignore.
    width = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    return checked_size(width, height)


class Vp8Format:
    """`VideoFormat` of VP8; stateless."""

    def starts_frame(self, payload: bytes) -> bool:
        # S set and partition 0.
        return bool(payload) and payload[0] & 0x17 == 0x10

    def starts_keyframe(self, payload: bytes) -> bool:
        if not self.starts_frame(payload):
            return False
        try:
            return not payload[descriptor_bytes(payload)] & 1
        except BadPacket:
            return False

    def assemble(self, payloads: Sequence[bytes]) -> AssembledFrame:
        if not self.starts_frame(payloads[0]):
            raise BadPacket("VP8 frame does not begin at its beginning")
        frame = b"".join([payload[descriptor_bytes(payload) :] for payload in payloads])
        if is_keyframe(frame):
            return AssembledFrame(frame, is_keyframe=True, size=keyframe_size(frame))
        return AssembledFrame(frame, is_keyframe=False, size=None)


def packetise_vp8(frame: bytes, *, picture_id: int, max_payload_bytes: int) -> list[bytes]:
    """RTP payloads of one frame, with 15-bit picture ids as browsers send them."""
    identifier = (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big")
    room = max_payload_bytes - 4
    return [
        (b"\x90" if at == 0 else b"\x80") + b"\x80" + identifier + frame[at : at + room]
        for at in range(0, len(frame), room)
    ]
