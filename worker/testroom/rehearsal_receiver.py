"""One actor's packets over a bad network into the real receive engine, in rehearsed time.

Only sockets, encryption and negotiation are left out: RTP is made, lost, asked for again and put
together by the code that does it in a real room.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from worker.core.identity import Codec, Kind, TrackId
from worker.core.timing import NS_PER_MS
from worker.rooms.media import (
    AUDIO_LEVEL_URI,
    MID_URI,
    PAUSES_WANTED,
    MediaCodec,
    NegotiatedMedia,
)
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.rtcp import NackPacket, PliPacket, parse_rtcp
from worker.testroom.camera import Camera
from worker.testroom.faults import Impairment
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.rtp_sender import RtpSender
from worker.testroom.scenario import Actor

POLL_NS = 5 * NS_PER_MS
"""As often as a real room polls its receivers."""
_FEEDBACK: Final = ("nack", "nack pli")
_PAYLOAD_TYPES: Final = {Codec.VP8: 96, Codec.VP9: 98, Codec.H264: 102, Codec.OPUS: 111}
_RED_PAYLOAD_TYPE: Final = 63
_EXTENSIONS: Final = {MID_URI: 1, AUDIO_LEVEL_URI: 2}

At = Callable[[int, Callable[[], None]], None]
"""Calls something at an instant."""


@dataclass(frozen=True, slots=True)
class _Sending:
    track_id: TrackId
    media: NegotiatedMedia
    sender: RtpSender
    camera: Camera | None
    resent_ns: dict[int, int] = field(default_factory=dict)
    """When each sequence number was last sent again; 16 bits bound it."""


class Reception:
    """What one presence of *actor* sends, and what arrives of it.

    *way* and *way_back* take instants that count from *start_ns*; all other times are those of
    *at*, and so are those of the frames that *receiver* gives out.
    """

    def __init__(
        self,
        actor: Actor,
        receiver: PeerReceiver,
        *,
        way: Impairment,
        way_back: Impairment,
        start_ns: int,
        seed: str,
        at: At,
    ) -> None:
        self._actor = actor
        self._receiver = receiver
        self._way = way
        self._way_back = way_back
        self._start_ns = start_ns
        self._at = at
        self._random = Random(seed)
        self._sendings: dict[str, _Sending] = {}
        self._mids = 0
        self._is_over = False

    def publish(
        self, label: str, track_id: TrackId, codec: Codec, camera: Camera | None, now_ns: int
    ) -> None:
        """Add a track; without *camera* it is sound."""
        media = self._media(codec, camera)
        self._mids += 1
        sender = RtpSender(
            media,
            media.codecs[0],
            self._actor.user_id,
            Random(self._random.random()),
            red=self._actor.red,
            dtx=self._actor.dtx,
        )
        self._sendings[label] = _Sending(track_id, media, sender, camera)
        self._negotiate(now_ns)
        if self._mids == 1:
            self._poll(now_ns)

    def end(self, label: str, now_ns: int) -> None:
        """Take a track away."""
        del self._sendings[label]
        self._negotiate(now_ns)

    def close(self) -> None:
        """The presence is over: nothing is delivered or asked for any more."""
        self._is_over = True

    def send_video(self, label: str, unit: LoopUnit, rtp_timestamp: int, now_ns: int) -> None:
        """Send one frame."""
        self._send(self._sendings[label].sender.video(unit, rtp_timestamp), now_ns)

    def send_audio(self, label: str, unit: LoopUnit, rtp_timestamp: int, now_ns: int) -> None:
        """Send one packet."""
        self._send(self._sendings[label].sender.audio(unit, rtp_timestamp), now_ns)

    def send_report(self, label: str, ntp_ns: int, rtp_timestamp: int, now_ns: int) -> None:
        """Send one sender report."""
        report = self._sendings[label].sender.report(ntp_ns, rtp_timestamp)
        for arrival_ns in self._way.rtcp_arrivals(now_ns - self._start_ns):
            self._arrive(self._receiver.on_rtcp, report, arrival_ns)

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask the actor for a keyframe, over the network."""
        self._receiver.request_keyframe(track_id)

    def _media(self, codec: Codec, camera: Camera | None) -> NegotiatedMedia:
        payload_type = _PAYLOAD_TYPES[codec]
        has_rtx = camera is not None and self._actor.rtx
        has_red = camera is None and self._actor.red > 0
        ssrc = self._random.randrange(1, 1 << 31)
        return NegotiatedMedia(
            mid=str(self._mids),
            kind=Kind.AUDIO if camera is None else Kind.VIDEO,
            is_active=True,
            codecs=(
                MediaCodec(
                    payload_type,
                    codec,
                    rtx_payload_type=payload_type + 1 if has_rtx else None,
                    feedback=() if camera is None else _FEEDBACK,
                    parameters=PAUSES_WANTED if camera is None else "",
                    red_payload_type=_RED_PAYLOAD_TYPE if has_red else None,
                    is_red_preferred=has_red,
                ),
            ),
            ssrcs=(ssrc,),
            rtx_ssrcs={ssrc + (1 << 31): ssrc} if has_rtx else {},
            extensions=_EXTENSIONS,
        )

    def _negotiate(self, now_ns: int) -> None:
        self._receiver.set_tracks(
            {sending.track_id: sending.media for sending in self._sendings.values()}, now_ns
        )

    def _send(self, packets: Sequence[bytes], now_ns: int) -> None:
        for packet in packets:
            for arrival_ns in self._way.arrivals(now_ns - self._start_ns):
                self._arrive(self._receiver.on_rtp, packet, arrival_ns)

    def _arrive(
        self, receive: Callable[[bytes, int], None], packet: bytes, arrival_ns: int
    ) -> None:
        arrival_ns += self._start_ns

        def arrive() -> None:
            if not self._is_over:
                receive(packet, arrival_ns)

        self._at(arrival_ns, arrive)

    def _poll(self, now_ns: int) -> None:
        if self._is_over:
            return
        for compound in self._receiver.poll(now_ns):
            for arrival_ns in self._way_back.rtcp_arrivals(now_ns - self._start_ns):
                self._feed_back(compound, self._start_ns + arrival_ns)
        self._at(now_ns + POLL_NS, lambda: self._poll(now_ns + POLL_NS))

    def _feed_back(self, compound: bytes, arrival_ns: int) -> None:
        self._at(arrival_ns, lambda: self._answer(compound, arrival_ns))

    def _answer(self, compound: bytes, now_ns: int) -> None:
        for feedback in parse_rtcp(compound):
            for sending in self._sendings.values():
                match feedback:
                    case NackPacket(media_ssrc=ssrc) if ssrc == sending.sender.ssrc:
                        self._resend(sending, feedback.sequences, now_ns)
                    case PliPacket(media_ssrc=ssrc) if ssrc == sending.sender.ssrc:
                        assert sending.camera is not None
                        sending.camera.request_keyframe()

    def _resend(self, sending: _Sending, sequences: Sequence[int], now_ns: int) -> None:
        """Like browsers, not again what was sent again within the last round trip."""
        earliest_ns = now_ns - round(2 * self._way.faults.delay_ms * NS_PER_MS)
        wanted = [
            number for number in sequences if sending.resent_ns.get(number, -1) <= earliest_ns
        ]
        sending.resent_ns.update(dict.fromkeys(wanted, now_ns))
        self._send(sending.sender.resend(wanted), now_ns)
