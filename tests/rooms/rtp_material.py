"""Senders that make packets as lists, so that loss and reordering are list operations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.identity import Codec, Kind
from worker.rooms.media import (
    AUDIO_LEVEL_URI,
    MID_URI,
    ORIENTATION_URI,
    MediaCodec,
    NegotiatedMedia,
)
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.rtx import wrap_rtx
from worker.rooms.rtp.vp8 import packetise_vp8

VP8_PAYLOAD_TYPE = 96
RTX_PAYLOAD_TYPE = 97
OPUS_PAYLOAD_TYPE = 111
MID_ID, LEVEL_ID, ORIENTATION_ID = 4, 1, 13

VIDEO = NegotiatedMedia(
    mid="1",
    kind=Kind.VIDEO,
    is_active=True,
    codecs=(MediaCodec(VP8_PAYLOAD_TYPE, Codec.VP8, RTX_PAYLOAD_TYPE, ("nack", "nack pli")),),
    ssrcs=(2000,),
    rtx_ssrcs={2001: 2000},
    extensions={MID_URI: MID_ID, ORIENTATION_URI: ORIENTATION_ID},
)
AUDIO = NegotiatedMedia(
    mid="0",
    kind=Kind.AUDIO,
    is_active=True,
    codecs=(MediaCodec(OPUS_PAYLOAD_TYPE, Codec.OPUS),),
    ssrcs=(1000,),
    extensions={MID_URI: MID_ID, AUDIO_LEVEL_URI: LEVEL_ID},
)


def vp8_frame(
    number: int, *, is_keyframe: bool, width: int = 640, height: int = 360, size: int = 3000
) -> bytes:
    """Bytes with a true VP8 header; the body tells the frame's number."""
    tag = bytes((0x10 if is_keyframe else 0x11, 0, 0))
    header = b""
    if is_keyframe:
        header = b"\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    body = tag + header
    return body + number.to_bytes(4, "big") * ((size - len(body)) // 4)


def frame_number(data: bytes) -> int:
    """What `vp8_frame` was given."""
    return int.from_bytes(data[-4:], "big")


@dataclass
class VideoSender:
    """Makes the packets of one VP8 stream: three per frame unless told otherwise."""

    ssrc: int = 2000
    sequence: int = 100
    timestamp: int = 90_000
    number: int = 0
    step: int = 3000
    rtx_sequence: int = 7000
    max_payload_bytes: int = 1010

    def frame(
        self,
        *,
        is_keyframe: bool = False,
        size: int = 3000,
        width: int = 640,
        height: int = 360,
        extensions: Mapping[int, bytes] | None = None,
    ) -> list[bytes]:
        frame = vp8_frame(
            self.number, is_keyframe=is_keyframe, size=size, width=width, height=height
        )
        packets = self.packets(
            packetise_vp8(frame, picture_id=self.number, max_payload_bytes=self.max_payload_bytes),
            extensions=extensions,
        )
        self.number += 1
        return packets

    def packets(
        self, payloads: list[bytes], *, extensions: Mapping[int, bytes] | None = None
    ) -> list[bytes]:
        packets = []
        for index, payload in enumerate(payloads):
            packets.append(
                build_rtp(
                    payload_type=VP8_PAYLOAD_TYPE,
                    sequence=self.sequence,
                    timestamp=self.timestamp,
                    ssrc=self.ssrc,
                    payload=payload,
                    marker=index == len(payloads) - 1,
                    extensions=extensions,
                )
            )
            self.sequence += 1
        self.timestamp += self.step
        return packets

    def rtx(self, packet: bytes, *, ssrc: int = 2001) -> bytes:
        self.rtx_sequence += 1
        return wrap_rtx(
            packet, payload_type=RTX_PAYLOAD_TYPE, ssrc=ssrc, sequence=self.rtx_sequence
        )


@dataclass
class AudioSender:
    """Makes Opus packets of 20 ms."""

    ssrc: int = 1000
    sequence: int = 50
    timestamp: int = 48_000
    payload: bytes = b"\xf8\xff\xfe"
    extensions: Mapping[int, bytes] = field(default_factory=dict)

    def packet(self) -> bytes:
        packet = build_rtp(
            payload_type=OPUS_PAYLOAD_TYPE,
            sequence=self.sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
            payload=self.payload,
            extensions=self.extensions,
        )
        self.sequence += 1
        self.timestamp += 960
        return packet
