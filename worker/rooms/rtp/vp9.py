"""VP9 in RTP (RFC 9628): a descriptor before each piece of a frame, one frame per spatial layer.

The layers of one picture share a timestamp and leave as one superframe, lowest first, which is
how a decoder wants them; it then shows the highest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.rooms.rtp.frames import AssembledFrame
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.vp9_header import (
    join_superframe,
    read_header,
    split_superframe,
    starts_with_keyframe,
)

_HAS_PICTURE_ID = 0x80
_IS_PREDICTED = 0x40
_HAS_LAYERS = 0x20
_IS_FLEXIBLE = 0x10
_BEGINS = 0x08
_ENDS = 0x04
_HAS_STRUCTURE = 0x02
_MAX_REFERENCES = 3


@dataclass(slots=True)
class Descriptor:
    """What is needed of a payload descriptor (RFC 9628, 4.2). One is made for every packet."""

    length: int
    begins: bool
    """The frame of a spatial layer begins here."""
    ends: bool
    spatial_layer: int


def read_descriptor(payload: bytes) -> Descriptor:
    """The descriptor of *payload*. Raises `BadPacket` when it is cut off or nothing follows it."""
    spatial_layer = 0
    try:
        flags = payload[0]
        end = 1
        if flags & _HAS_PICTURE_ID:
            end += 2 if payload[1] & 0x80 else 1
        if flags & _HAS_LAYERS:
            spatial_layer = payload[end] >> 1 & 7
            # Only without flexible mode an index of the lowest temporal layer follows.
            end += 1 if flags & _IS_FLEXIBLE else 2
        if flags & _IS_FLEXIBLE and flags & _IS_PREDICTED:
            end = _after_references(payload, end)
        if flags & _HAS_STRUCTURE:
            end = _after_structure(payload, end)
    except IndexError:
        raise BadPacket("VP9 payload descriptor is cut off") from None
    if end >= len(payload):
        raise BadPacket("VP9 payload without data")
    return Descriptor(end, bool(flags & _BEGINS), bool(flags & _ENDS), spatial_layer)


def _after_references(payload: bytes, start: int) -> int:
    """The lowest bit tells whether one more follows; there are three at most."""
    for end in range(start, start + _MAX_REFERENCES):
        if not payload[end] & 1:
            return end + 1
    raise BadPacket("VP9 picture with too many references")


def _after_structure(payload: bytes, start: int) -> int:
    """The scalability structure (RFC 9628, 4.2.1): sizes, which the frames tell too, and order.

    It may claim to end behind the payload. Raises `IndexError` where it is cut off.
    """
    flags = payload[start]
    end = start + 1
    if flags & 0x10:
        end += 4 * ((flags >> 5) + 1)
    if flags & 0x08:
        pictures = payload[end]
        end += 1
        for _ in range(pictures):
            end += 1 + (payload[end] >> 2 & 3)
    return end


class Vp9Format:
    """`VideoFormat` of VP9; stateless. What the frames say counts, not what descriptors claim."""

    def starts_frame(self, payload: bytes) -> bool:
        # A server may leave out lower layers, so only the lowest one is surely first.
        try:
            descriptor = read_descriptor(payload)
        except BadPacket:
            return False
        return descriptor.begins and descriptor.spatial_layer == 0

    def starts_keyframe(self, payload: bytes) -> bool:
        try:
            descriptor = read_descriptor(payload)
        except BadPacket:
            return False
        return (
            descriptor.begins
            and descriptor.spatial_layer == 0
            and starts_with_keyframe(payload[descriptor.length : descriptor.length + 1])
        )

    def assemble(self, payloads: Sequence[bytes]) -> AssembledFrame:
        frames = [frame for layer in layer_frames(payloads) for frame in split_superframe(layer)]
        headers = [read_header(frame) for frame in frames]
        is_keyframe = headers[0].is_keyframe
        # The last size told is that of the highest layer, the picture that comes out.
        sizes = [header.size for header in headers if header.size is not None]
        return AssembledFrame(
            join_superframe(frames),
            is_keyframe=is_keyframe,
            size=sizes[-1] if is_keyframe else None,
        )


def layer_frames(payloads: Sequence[bytes]) -> Sequence[bytes]:
    """The frames of one picture's layers, lowest first. Raises `BadPacket`."""
    frames: list[list[bytes]] = []
    layer_before = -1
    is_open = False
    for payload in payloads:
        descriptor = read_descriptor(payload)
        if descriptor.begins:
            if descriptor.spatial_layer <= layer_before:
                raise BadPacket("VP9 layers are out of order")
            frames.append([])
        elif not is_open or descriptor.spatial_layer != layer_before:
            raise BadPacket("VP9 frame does not begin at its beginning")
        frames[-1].append(payload[descriptor.length :])
        layer_before = descriptor.spatial_layer
        is_open = not descriptor.ends
    if is_open:
        raise BadPacket("VP9 frame without an end")
    return [b"".join(pieces) for pieces in frames]


def packetise_vp9(
    frame: bytes, *, is_keyframe: bool, picture_id: int, max_payload_bytes: int
) -> list[bytes]:
    """RTP payloads of one frame of one layer: flexible mode, predicted from the picture before."""
    flags = _HAS_PICTURE_ID | _IS_FLEXIBLE | (0 if is_keyframe else _IS_PREDICTED)
    fields = (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big") + (b"" if is_keyframe else b"\x02")
    room = max_payload_bytes - 1 - len(fields)
    return [
        bytes((flags | (_BEGINS if at == 0 else 0) | (_ENDS if at + room >= len(frame) else 0),))
        + fields
        + frame[at : at + room]
        for at in range(0, len(frame), room)
    ]
