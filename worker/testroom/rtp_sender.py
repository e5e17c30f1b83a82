"""One outgoing RTP stream: packets, retransmissions, sender reports. Pure: bytes in, bytes out."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from worker.core.identity import Codec
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, MediaCodec, NegotiatedMedia
from worker.rooms.rtp.h264 import packetise_h264
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.red import MAX_AGE, MAX_COPY_BYTES, RedBlock, join_red
from worker.rooms.rtp.rtcp import (
    ReceiverReportPacket,
    SenderReportPacket,
    build_bye,
    build_cname,
    build_receiver_report,
    build_sender_report,
    ns_to_ntp,
)
from worker.rooms.rtp.rtx import wrap_rtx
from worker.rooms.rtp.vp8 import packetise_vp8
from worker.rooms.rtp.vp9 import packetise_vp9
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.pauses import Pauses

MAX_PAYLOAD_BYTES = 1150
"""With headers, extensions and the SRTP tag a datagram stays below 1200 bytes."""
HISTORY_PACKETS = 1024
"""What can be retransmitted: some eight seconds of a 360p camera."""
_VOICE_ACTIVE = 0x80
_VOICE_LEVEL_DBOV = -60


@dataclass(slots=True)
class RtpSender:
    """Sends one track to one subscriber as *media* was negotiated; numbers start at random.

    Video begins with a keyframe: what comes before the first one is not sent.
    """

    media: NegotiatedMedia
    codec: MediaCodec
    cname: str
    random: Random
    dtx: bool = False
    """Whether pauses are left out, where that was asked for."""
    red: int = 0
    """How many earlier audio packets each one repeats (RFC 2198), where that was agreed."""
    packets_sent: int = 0
    octets_sent: int = 0
    _sequence: int = field(init=False)
    _rtx_sequence: int = field(init=False)
    _picture_id: int = field(init=False)
    _mid: Mapping[int, bytes] = field(init=False)
    _pauses: Pauses | None = field(init=False)
    _is_started: bool = False
    _history: list[tuple[int, bytes]] = field(init=False)
    _spoken: deque[tuple[int, bytes]] = field(init=False)
    """Timestamp and payload of the latest audio packets."""

    def __post_init__(self) -> None:
        # Not just below the wrap: libsrtp cannot know that a first packet is one.
        self._sequence = self.random.randrange(1 << 15)
        self._rtx_sequence = self.random.randrange(1 << 15)
        self._picture_id = self.random.randrange(1 << 15)
        self._history = [(-1, b"")] * HISTORY_PACKETS
        self._spoken = deque(maxlen=self.red)
        self._pauses = Pauses() if self.dtx and self.codec.wants_pauses else None
        mid_id = self.media.extensions.get(MID_URI)
        self._mid = {} if mid_id is None else {mid_id: self.media.mid.encode()}

    @property
    def ssrc(self) -> int:
        return self.media.ssrcs[0]

    def video(self, unit: LoopUnit, rtp_timestamp: int) -> Sequence[bytes]:
        """The packets of one frame, the last one with the marker bit."""
        if not (self._is_started or unit.keyframe):
            return ()
        self._is_started = True
        payloads = self._payloads(unit)
        last = len(payloads) - 1
        return [
            self._packet(
                payload,
                rtp_timestamp,
                self._mid,
                marker=position == last,
                payload_type=self.codec.payload_type,
            )
            for position, payload in enumerate(payloads)
        ]

    def begin_anew(self) -> None:
        """After a pause: the next frame that is sent is a keyframe. Numbers go on."""
        self._is_started = False

    def audio(self, unit: LoopUnit, rtp_timestamp: int) -> Sequence[bytes]:
        """One Opus packet with its level, or none in a pause.

        The first one has the marker bit (RFC 3551).
        """
        data = self._pauses.data_of(unit) if self._pauses is not None else unit.data
        if data is None:
            return ()
        extensions = self._mid
        level_id = self.media.extensions.get(AUDIO_LEVEL_URI)
        if level_id is not None:
            active = _VOICE_ACTIVE if unit.level_dbov > _VOICE_LEVEL_DBOV else 0
            extensions = {**extensions, level_id: bytes((active | -unit.level_dbov,))}
        is_first, self._is_started = not self._is_started, True
        payload_type, payload = self._audio_payload(data, rtp_timestamp)
        return [
            self._packet(
                payload, rtp_timestamp, extensions, marker=is_first, payload_type=payload_type
            )
        ]

    def resend(self, sequences: Iterable[int]) -> Sequence[bytes]:
        """What a NACK asks for, as far as the history reaches; over RTX when it was agreed."""
        packets = []
        for sequence in sequences:
            kept, packet = self._history[sequence % HISTORY_PACKETS]
            if kept == sequence:
                packets.append(self._again(packet))
        return packets

    def report(self, ntp_ns: int, rtp_timestamp: int) -> bytes:
        """A sender report with the canonical name. *ntp_ns* counts from 1900."""
        report = SenderReportPacket(
            ssrc=self.ssrc,
            ntp=ns_to_ntp(ntp_ns),
            rtp_timestamp=rtp_timestamp & 0xFFFFFFFF,
            packet_count=self.packets_sent,
            octet_count=self.octets_sent,
        )
        return build_sender_report(report) + build_cname(self.ssrc, self.cname)

    def bye(self) -> bytes:
        """Says that the stream is over."""
        return build_receiver_report(ReceiverReportPacket(self.ssrc)) + build_bye([self.ssrc])

    def _audio_payload(self, data: bytes, rtp_timestamp: int) -> tuple[int, bytes]:
        """Payload type and payload of one Opus packet, with its copies of earlier ones."""
        plain, redundant = self.codec.payload_type, self.codec.red_payload_type
        if redundant is None or not self.red:
            return plain, data
        copies = [
            RedBlock(plain, rtp_timestamp - timestamp, copy)
            for timestamp, copy in self._spoken
            if rtp_timestamp - timestamp <= MAX_AGE and len(copy) <= MAX_COPY_BYTES
        ]
        self._spoken.append((rtp_timestamp, data))
        return redundant, join_red([*copies, RedBlock(plain, 0, data)])

    def _payloads(self, unit: LoopUnit) -> Sequence[bytes]:
        if self.codec.codec is Codec.H264:
            return packetise_h264(unit.data, max_payload_bytes=MAX_PAYLOAD_BYTES)
        self._picture_id += 1
        if self.codec.codec is Codec.VP9:
            return packetise_vp9(
                unit.data,
                is_keyframe=unit.keyframe,
                picture_id=self._picture_id,
                max_payload_bytes=MAX_PAYLOAD_BYTES,
            )
        return packetise_vp8(
            unit.data, picture_id=self._picture_id, max_payload_bytes=MAX_PAYLOAD_BYTES
        )

    def _packet(
        self,
        payload: bytes,
        rtp_timestamp: int,
        extensions: Mapping[int, bytes],
        *,
        marker: bool,
        payload_type: int,
    ) -> bytes:
        sequence = self._sequence & 0xFFFF
        packet = build_rtp(
            payload_type=payload_type,
            sequence=sequence,
            timestamp=rtp_timestamp,
            ssrc=self.ssrc,
            payload=payload,
            marker=marker,
            extensions=extensions,
        )
        self._history[sequence % HISTORY_PACKETS] = (sequence, packet)
        self._sequence += 1
        self.packets_sent += 1
        self.octets_sent += len(payload)
        return packet

    def _again(self, packet: bytes) -> bytes:
        payload_type = self.codec.rtx_payload_type
        if payload_type is None or not self.media.rtx_ssrcs:
            return packet
        self._rtx_sequence += 1
        return wrap_rtx(
            packet,
            payload_type=payload_type,
            ssrc=next(iter(self.media.rtx_ssrcs)),
            sequence=self._rtx_sequence,
        )
