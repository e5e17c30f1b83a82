"""Packets of a publisher that means harm: plain RTP and RTCP, to be injected or to be encrypted.

Everything follows from the seed. Three in four packets are valid ones with some damage, so that
they get far; the rest are made to fit one rule of the format exactly wrong.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from worker.core.identity import Codec, Kind
from worker.rooms.media import (
    AUDIO_LEVEL_URI,
    MID_URI,
    ORIENTATION_URI,
    TRANSPORT_CC,
    TRANSPORT_CC_URI,
    MediaCodec,
    OfferedMedia,
)
from worker.rooms.rtp.h264 import packetise_h264
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.rtcp import (
    ReceiverReportPacket,
    ReportBlock,
    SenderReportPacket,
    build_bye,
    build_cname,
    build_fir,
    build_nack,
    build_pli,
    build_receiver_report,
    build_remb,
    build_sender_report,
)
from worker.rooms.rtp.rtx import wrap_rtx
from worker.rooms.rtp.vp8 import packetise_vp8
from worker.rooms.rtp.vp9 import packetise_vp9

MAX_BYTES = 1400
SSRCS = 400
"""Besides its own it uses smaller ones than this: who encrypts keeps a state for each."""
POOL = 200
"""Frames of each codec whose pieces are sent over and over."""
_FEEDBACK = ("nack", "nack pli", TRANSPORT_CC)
_EXTENSIONS = {MID_URI: 4, TRANSPORT_CC_URI: 5, ORIENTATION_URI: 13}
VP8 = MediaCodec(96, Codec.VP8, 97, _FEEDBACK)
VP9 = MediaCodec(98, Codec.VP9, 99, _FEEDBACK)
H264 = MediaCodec(100, Codec.H264, 101, _FEEDBACK, "packetization-mode=1;profile-level-id=42e01f")
OPUS = MediaCodec(111, Codec.OPUS, None, (TRANSPORT_CC,), red_payload_type=63)
MEDIA = (
    OfferedMedia("0", Kind.AUDIO, (OPUS,), 1000, extensions={**_EXTENSIONS, AUDIO_LEVEL_URI: 1}),
    OfferedMedia("1", Kind.VIDEO, (VP8, VP9, H264), 2000, 2001, extensions=_EXTENSIONS),
    OfferedMedia("2", Kind.VIDEO, (VP8,), 3000, 3001, extensions=_EXTENSIONS),
)
"""Its microphone, camera and screen."""
_SSRCS = (1000, 2000, 2001, 3000, 3001)


@dataclass
class _Stream:
    ssrc: int
    payload_type: int
    sequence: int = 0
    timestamp: int = 0


class HostilePackets:
    """An endless supply."""

    def __init__(self, seed: int, *, max_step: int | None = None) -> None:
        """*max_step* limits how far sequence numbers jump; given for packets to be encrypted."""
        self._max_step = max_step
        self._random = random.Random(seed)
        self._streams = [_Stream(1000, 111), _Stream(2000, 96), _Stream(3000, 96)]
        self._payloads = {
            payload_type: [part for _ in range(POOL) for part in self._frame(payload_type)]
            for payload_type in (96, 98, 100, 111)
        }
        self._recent: list[bytes] = [self._valid()]
        self._rtp: tuple[Callable[[], bytes], ...] = (
            self._flipped,
            self._flipped,
            self._damaged_payload,
            self._damaged_payload,
            self._wandering,
            self._cut,
            self._lying_extension,
            self._all_csrcs,
            self._lying_padding,
            self._unknown,
            self._repaired,
            self._any_ssrc,
            self._noise,
        )
        self._rtcp: tuple[Callable[[], bytes], ...] = (
            self._goodbyes,
            self._many_nacks,
            self._foreign_remb,
            self._lying_reports,
            self._broken_compound,
            self._rtcp_noise,
        )

    def rtp(self) -> bytes:
        """One RTP packet of at most 1400 bytes, or what pretends to be one."""
        if self._random.random() < 0.3:
            return self._remember(self._valid())
        packet = self._random.choice(self._rtp)()[:MAX_BYTES]
        ssrc = self._own_ssrc(packet[8:12])
        sequence = self._restrained(int.from_bytes(ssrc, "big"), int.from_bytes(packet[2:4], "big"))
        return packet[:2] + sequence.to_bytes(2, "big") + packet[4:8] + ssrc + packet[12:]

    def rtcp(self) -> bytes:
        """One RTCP compound of at most 1400 bytes, or what pretends to be one."""
        compound = self._random.choice(self._rtcp)()[:MAX_BYTES]
        if self._max_step is not None:
            compound = compound[:4] + self._own_ssrc(compound[4:8]) + compound[8:]
        return compound

    # --- RTP ----------------------------------------------------------------------------------

    def _valid(self) -> bytes:
        stream = self._random.choice(self._streams)
        if stream.ssrc == 2000 and self._random.random() < 0.02:
            stream.payload_type = self._random.choice((96, 98, 100))
        payload = self._random.choice(self._payloads[stream.payload_type])
        stream.sequence += 1
        stream.timestamp += self._random.choice((0, 960, 3000))
        return build_rtp(
            payload_type=stream.payload_type,
            sequence=stream.sequence,
            timestamp=stream.timestamp,
            ssrc=stream.ssrc,
            payload=payload,
            marker=self._random.random() < 0.4,
            extensions={
                1: self._random.randbytes(1),
                5: self._random.randbytes(2),
                13: self._random.randbytes(1),
            },
        )

    def _own_ssrc(self, ssrc: bytes) -> bytes:
        number = int.from_bytes(ssrc, "big")
        if number < SSRCS or number in _SSRCS:
            return ssrc
        return self._random.choice(_SSRCS).to_bytes(4, "big")

    def _restrained(self, ssrc: int, sequence: int) -> int:
        """*sequence*, or a nearer one where the two ends of SRTP would lose each other."""
        for stream in self._streams:
            if stream.ssrc == ssrc:
                step = (sequence - stream.sequence + 0x8000 & 0xFFFF) - 0x8000
                if self._max_step is not None and abs(step) > self._max_step:
                    step = 1
                stream.sequence += max(0, step)
                return stream.sequence + min(0, step) & 0xFFFF
        return sequence

    def _frame(self, payload_type: int) -> list[bytes]:
        noise = self._random.randbytes(self._random.randrange(20, 3000))
        is_keyframe = self._random.random() < 0.2
        number = self._random.randrange(1 << 15)
        match payload_type:
            case 96:
                key = b"\x10\0\0\x9d\x01\x2a" + noise[:4] if is_keyframe else b"\x11\0\0"
                return packetise_vp8(key + noise, picture_id=number, max_payload_bytes=1000)
            case 98:
                frame = b"\x82\x49\x83\x42" + noise if is_keyframe else b"\x86" + noise
                return packetise_vp9(
                    frame, is_keyframe=is_keyframe, picture_id=number, max_payload_bytes=1000
                )
            case 100:
                unit = b"\0\0\1\x67" + noise[:20] + b"\0\0\1\x68\xce\x06\xe2\0\0\1\x65" + noise
                unit = unit if is_keyframe else b"\0\0\1\x41" + noise
                return packetise_h264(unit, max_payload_bytes=1000) or [b"\x41"]
            case _:
                return [noise[:200]]

    def _remember(self, packet: bytes) -> bytes:
        self._recent.append(packet)
        del self._recent[:-50]
        return packet

    def _flipped(self) -> bytes:
        packet = bytearray(self._valid())
        for _ in range(self._random.randrange(1, 6)):
            # Mostly headers: what is behind them is the decoder's business.
            at = min(int(self._random.expovariate(1 / 12)), len(packet) - 1)
            packet[at] ^= 1 << self._random.randrange(8)
        return bytes(packet)

    def _damaged_payload(self) -> bytes:
        packet = bytearray(self._valid())
        start = 12 + 4 + 12  # header, extension header, three elements padded
        for _ in range(self._random.randrange(1, 8)):
            at = min(start + int(self._random.expovariate(1 / 6)), len(packet) - 1)
            packet[at] = self._random.randrange(256)
        return bytes(packet)

    def _wandering(self) -> bytes:
        """Sequence numbers and timestamps that jump near and far."""
        packet = bytearray(self._random.choice(self._recent))
        reach = self._random.choice((2, 20, 600, 3000, 40_000))
        sequence = int.from_bytes(packet[2:4], "big") + self._random.randrange(-reach, reach)
        packet[2:4] = (sequence & 0xFFFF).to_bytes(2, "big")
        if self._random.random() < 0.3:
            packet[4:8] = self._random.randbytes(4)
        return bytes(packet)

    def _cut(self) -> bytes:
        packet = self._valid()
        return packet[: self._random.randrange(12, len(packet))]

    def _lying_extension(self) -> bytes:
        packet = self._valid()
        words = self._random.choice((0, 1, 2, 300, 0xFFFF, len(packet) // 4))
        profile = self._random.choice((b"\xbe\xde", b"\x10\x05", self._random.randbytes(2)))
        return (
            bytes((packet[0] | 0x10,)) + packet[1:12] + profile + words.to_bytes(2, "big")
            + self._random.randbytes(self._random.randrange(40))
        )  # fmt: skip

    def _all_csrcs(self) -> bytes:
        packet = self._valid()
        return bytes((packet[0] | 0x0F,)) + packet[1 : self._random.randrange(12, 90)]

    def _lying_padding(self) -> bytes:
        packet = self._valid()
        length = self._random.choice((0, 1, 4, 200, 255, len(packet) & 0xFF))
        return bytes((packet[0] | 0x20,)) + packet[1:-1] + bytes((length,))

    def _unknown(self) -> bytes:
        packet = bytearray(self._valid())
        packet[1] = self._random.choice((0, 8, 13, 35, 63, 97, 99, 101, 127))
        return bytes(packet)

    def _repaired(self) -> bytes:
        packet = self._random.choice(self._recent)
        return wrap_rtx(
            packet,
            payload_type=self._random.choice((97, 99, 101)),
            ssrc=self._random.choice((2001, 3001, 7)),
            sequence=self._random.randrange(1 << 16),
        )

    def _any_ssrc(self) -> bytes:
        packet = self._valid()
        return packet[:8] + self._random.randrange(SSRCS).to_bytes(4, "big") + packet[12:]

    def _noise(self) -> bytes:
        return b"\x80" + self._random.randbytes(self._random.randrange(11, MAX_BYTES))

    # --- RTCP ---------------------------------------------------------------------------------

    def _ssrc(self) -> int:
        return self._random.choice((*_SSRCS, self._random.randrange(1 << 32)))

    def _goodbyes(self) -> bytes:
        ssrcs = [self._ssrc() for _ in range(self._random.randrange(32))]
        return build_cname(1, "x") + build_bye(ssrcs) * self._random.randrange(1, 9)

    def _many_nacks(self) -> bytes:
        pairs = self._random.randbytes(4 * self._random.randrange(300))
        first = build_nack(1, self._ssrc(), range(self._random.randrange(1, 900)))
        body = (1).to_bytes(4, "big") + self._ssrc().to_bytes(4, "big") + pairs
        return first + b"\x81\xcd" + (len(body) // 4).to_bytes(2, "big") + body

    def _foreign_remb(self) -> bytes:
        remb = build_remb(self._ssrc(), self._random.randrange(1 << 60), [self._ssrc()] * 5)
        remb = remb[:16] + bytes((self._random.randrange(256),)) + remb[17:]
        return remb + build_pli(1, self._ssrc()) + build_fir(1, self._ssrc(), 3)

    def _lying_reports(self) -> bytes:
        numbers = [self._random.randrange(1 << 32) for _ in range(6)]
        blocks = tuple(
            ReportBlock(self._ssrc(), 255, -1, numbers[0], numbers[1], numbers[2], numbers[3])
            for _ in range(self._random.randrange(4))
        )
        ntp = self._random.choice((0, 1, 1 << 63, (1 << 64) - 1, self._random.getrandbits(64)))
        sender = SenderReportPacket(self._ssrc(), ntp, numbers[4], numbers[5], 0, blocks)
        return build_sender_report(sender) + build_receiver_report(
            ReceiverReportPacket(self._ssrc(), blocks)
        )

    def _broken_compound(self) -> bytes:
        compound = bytearray(self._lying_reports() + self._goodbyes() + self._foreign_remb())
        for _ in range(self._random.randrange(1, 10)):
            compound[self._random.randrange(len(compound))] = self._random.randrange(256)
        return bytes(compound[: self._random.randrange(8, len(compound) + 1)])

    def _rtcp_noise(self) -> bytes:
        head = bytes((self._random.randrange(0x80, 0xC0), self._random.randrange(192, 224)))
        return head + self._random.randbytes(self._random.randrange(6, MAX_BYTES))
