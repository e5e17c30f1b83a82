"""One subscriber of one synthetic participant: its peer connection and a sender per track."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from worker.core.identity import Codec, Kind
from worker.core.timing import NS_PER_S
from worker.errors import RoomError
from worker.rooms.cancellation import stop_if_cancelled
from worker.rooms.ice import IceSettings
from worker.rooms.media import (
    AUDIO_LEVEL_URI,
    MID_URI,
    MediaCodec,
    NegotiatedMedia,
    OfferedMedia,
)
from worker.rooms.peer import Peer, PeerFailed, PeerState
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.rtcp import FirPacket, NackPacket, PliPacket, parse_rtcp
from worker.testroom.camera import Camera
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.rtp_sender import RtpSender
from worker.testroom.scenario import VideoFeed
from worker.testroom.uplink import Uplink

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 15.0

_OPUS: Final = MediaCodec(111, Codec.OPUS, parameters="minptime=10;useinbandfec=1")
_OPUS_WITH_RED: Final = replace(_OPUS, red_payload_type=63, is_red_preferred=True)
_PAYLOAD_TYPES: Final = {
    Codec.VP8: (96, 97),
    Codec.VP9: (98, 99),
    Codec.H264: (102, 103),
}
_FEEDBACK: Final = ("nack", "nack pli", "ccm fir")
_PROFILES: Final = {"baseline": "42e01f", "high": "640c1f"}
_EXTENSIONS: Final = {
    Kind.AUDIO: {MID_URI: 1, AUDIO_LEVEL_URI: 2},
    Kind.VIDEO: {MID_URI: 1},
}


@dataclass(frozen=True, slots=True, eq=False)
class LocalTrack:
    """A track as its publisher holds it. `mid` is that of its media section in every session."""

    label: str
    mid: str
    kind: Kind
    feed: VideoFeed | None
    camera: Camera | None
    rtx: bool
    dtx: bool
    red: int
    """Copies of earlier packets in each audio packet (RFC 2198)."""
    report_now: Callable[[], tuple[int, int] | None]
    """Wall clock in ns since 1900 and RTP timestamp at this instant; None: no reports."""


class Subscription:
    """A session asked for by one subscriber. `run` it in a task; cancelling says goodbye.

    *tracks* is the publisher's own table and may change; call `renegotiate` then.
    """

    def __init__(
        self,
        *,
        tracks: Mapping[str, LocalTrack],
        signal: Callable[[Mapping[str, object]], None],
        uplink: Uplink,
        ice: IceSettings,
        cname: str,
        seed: str,
    ) -> None:
        self.uplink = uplink
        self._tracks = tracks
        self._signal = signal
        self._cname = cname
        self._random = Random(seed)
        self._changed = asyncio.Event()
        self._changed.set()
        self._answers: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._wanted: frozenset[str] | None = None
        self._ssrcs: dict[str, tuple[int, int]] = {}
        self._senders: dict[str, RtpSender] = {}
        loop = asyncio.get_running_loop()
        self._peer = Peer(
            ice=ice,
            clock_ns=lambda: round(loop.time() * NS_PER_S),
            on_rtcp=self._on_feedback,
            on_state=self._on_state,
        )

    async def run(self) -> None:
        """Offer, connect, and offer again whenever tracks change; ends when the peer fails."""
        try:
            while True:
                stop_if_cancelled()
                await self._changed.wait()
                self._changed.clear()
                if self._peer.state is PeerState.CLOSED:
                    log.info("subscriber left")
                    return
                if self._peer.state is PeerState.FAILED:
                    raise PeerFailed("the connection is over")
                if self._tracks:
                    await self._negotiate_or_retry()
        except (RoomError, TimeoutError) as exc:
            log.warning("subscriber lost", extra={"reason": str(exc) or "no answer"})
        finally:
            for sender in self._senders.values():
                self._peer.send_rtcp(sender.bye())
            await self._peer.close()

    def renegotiate(self) -> None:
        """The publisher's tracks have changed."""
        self._changed.set()

    def take_answer(self, sdp: str) -> None:
        """The subscriber's answer; one that nobody waits for is dropped."""
        if not self._answers.full():
            self._answers.put_nowait(sdp)

    def want(self, labels: frozenset[str]) -> None:
        """The subscriber looks at these videos only; the others are paused.

        What it had paused begins with a keyframe, as soon as the camera can make one.
        """
        before, self._wanted = self._wanted, labels
        for label in labels - (labels if before is None else before):
            if label in self._senders:
                self._senders[label].begin_anew()
                self._request_keyframe(label)

    def is_wanted(self, label: str) -> bool:
        """Whether the subscriber looks at the video *label*, if it has it at all."""
        return self._wanted is None or label in self._wanted

    def send_video(self, label: str, unit: LoopUnit, rtp_timestamp: int) -> None:
        """Send one frame of the track *label*, once it is negotiated and while it is wanted."""
        sender = self._senders.get(label)
        if sender is not None and self.is_wanted(label):
            self.uplink.send(sender.video(unit, rtp_timestamp), self._peer.send_rtp)

    def send_audio(self, label: str, unit: LoopUnit, rtp_timestamp: int) -> None:
        """Send one packet of the track *label*, once it is negotiated."""
        sender = self._senders.get(label)
        if sender is not None:
            self.uplink.send(sender.audio(unit, rtp_timestamp), self._peer.send_rtp)

    def send_report(self, label: str, ntp_ns: int, rtp_timestamp: int) -> None:
        """Send a sender report of the track *label*, once it is negotiated."""
        sender = self._senders.get(label)
        if sender is not None:
            self.uplink.send([sender.report(ntp_ns, rtp_timestamp)], self._peer.send_rtcp)

    async def _negotiate_or_retry(self) -> None:
        """An answer that is lost while media flows costs nothing but another offer."""
        try:
            await self._negotiate()
        except TimeoutError:
            if self._peer.state is not PeerState.CONNECTED:
                raise
            self._changed.set()

    async def _negotiate(self) -> None:
        tracks = dict(self._tracks)
        offered = {track.mid: label for label, track in tracks.items()}
        sdp = await self._peer.offer([self._offer(track) for track in tracks.values()])
        self._signal({"kind": "offer", "sdp": sdp, "mids": offered})
        async with asyncio.timeout(ANSWER_WITHIN_S):
            answer = await self._answers.get()
        negotiated = await self._peer.accept(answer)
        if self._peer.state is PeerState.NEW:
            await self._peer.connect()
        self._use({offered[media.mid]: media for media in negotiated})

    def _offer(self, track: LocalTrack) -> OfferedMedia:
        if track.label not in self._ssrcs:
            self._ssrcs[track.label] = (
                self._random.randrange(1, 1 << 32),
                self._random.randrange(1, 1 << 32),
            )
        ssrc, rtx_ssrc = self._ssrcs[track.label]
        has_rtx = track.feed is not None and track.rtx
        return OfferedMedia(
            mid=track.mid,
            kind=track.kind,
            codecs=(_codec(track),),
            ssrc=ssrc,
            rtx_ssrc=rtx_ssrc if has_rtx else None,
            cname=self._cname,
            stream=self._cname,
            extensions=_EXTENSIONS[track.kind],
        )

    def _use(self, negotiated: Mapping[str, NegotiatedMedia]) -> None:
        """Senders for what was agreed; those that go on keep their numbers."""
        for label in self._senders.keys() - negotiated.keys():
            self._peer.send_rtcp(self._senders.pop(label).bye())
        for label, media in negotiated.items():
            if label not in self._senders and media.is_active:
                self._senders[label] = RtpSender(
                    media,
                    media.codecs[0],
                    self._cname,
                    Random(self._random.random()),
                    red=self._tracks[label].red,
                    dtx=self._tracks[label].dtx,
                )
                self._request_keyframe(label)
                first_report = self._tracks[label].report_now()
                if first_report is not None:
                    self.send_report(label, *first_report)

    def _on_feedback(self, packet: bytes, _arrival_ns: int) -> None:
        try:
            feedback = parse_rtcp(packet)
        except BadPacket:
            return
        for each in feedback:
            match each:
                case NackPacket(media_ssrc=ssrc, sequences=sequences):
                    for sender in self._senders.values():
                        if sender.ssrc == ssrc:
                            self.uplink.send(sender.resend(sequences), self._peer.send_rtp)
                case PliPacket(media_ssrc=ssrc):
                    self._request_keyframe_of(ssrc)
                case FirPacket(requests=requests):
                    for ssrc, _command in requests:
                        self._request_keyframe_of(ssrc)

    def _request_keyframe_of(self, ssrc: int) -> None:
        for label, sender in self._senders.items():
            if sender.ssrc == ssrc:
                self._request_keyframe(label)

    def _request_keyframe(self, label: str) -> None:
        track = self._tracks.get(label)
        if track is not None and track.camera is not None:
            track.camera.request_keyframe()

    def _on_state(self, state: PeerState) -> None:
        if state in (PeerState.FAILED, PeerState.CLOSED):
            self._changed.set()


def _codec(track: LocalTrack) -> MediaCodec:
    if track.feed is None:
        return _OPUS_WITH_RED if track.red else _OPUS
    payload_type, rtx_payload_type = _PAYLOAD_TYPES[track.feed.codec]
    return MediaCodec(
        payload_type=payload_type,
        codec=track.feed.codec,
        rtx_payload_type=rtx_payload_type if track.rtx else None,
        feedback=_FEEDBACK,
        parameters=_parameters(track.feed),
    )


def _parameters(feed: VideoFeed) -> str:
    match feed.codec:
        case Codec.H264:
            profile = _PROFILES[feed.h264_profile]
            return f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
        case Codec.VP9:
            return "profile-id=0"
        case _:
            return ""
