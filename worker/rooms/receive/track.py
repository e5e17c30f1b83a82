"""One track of the other end, across changes of SSRC, sequence and codec."""

from collections.abc import Callable

from worker.core.identity import Codec, Kind, TrackId
from worker.core.timing import NS_PER_S
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.media import AUDIO_LEVEL_URI, ORIENTATION_URI, NegotiatedMedia
from worker.rooms.receive.audio import AudioStream
from worker.rooms.receive.doze import Doze, Dozes
from worker.rooms.receive.keyframes import START_GRACE_NS, KeyframeRequests
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.source import Source
from worker.rooms.receive.timeline import Timeline
from worker.rooms.receive.video import VideoStream
from worker.rooms.rtp.packet import RtpPacket
from worker.rooms.rtp.rtcp import SenderReportPacket, build_nack, build_pli, ntp_to_ns
from worker.rooms.rtp.rtx import unwrap_rtx

RETURN_NS = NS_PER_S
"""An SSRC that was replaced may come back after its successor was silent this long."""
MAX_RETIRED = 16
MAX_REQUESTED = 256
"""Per NACK packet: when no two are neighbours they take 4 bytes each."""
PENDING_REPORT_NS = 5 * NS_PER_S


class TrackReceiver:
    """Receives one track. At most one SSRC is current; a change begins a new epoch."""

    def __init__(
        self,
        track_id: TrackId,
        media: NegotiatedMedia,
        *,
        first_epoch: int,
        patience: Patience,
        dozes: Dozes,
        statistics: TrackStatistics,
        on_frame: Callable[[EncodedFrame], None],
        on_sender_report: Callable[[SenderReport], None],
        now_ns: int,
        is_wanted: bool = True,
    ) -> None:
        """*is_wanted*: see `want`."""
        self.track_id = track_id
        self.kind = media.kind
        self.statistics = statistics
        self.last_packet_ns: int | None = None
        self._patience = patience
        self._dozes = dozes
        self._on_frame = on_frame
        self._on_sender_report = on_sender_report
        self._stream: AudioStream | VideoStream | None = None
        self._next_epoch = first_epoch
        self._retired: dict[int, int] = {}
        self._keyframes = KeyframeRequests()
        self._is_wanted = is_wanted
        self._pending_report: tuple[SenderReportPacket, int] | None = None
        self._codecs: dict[int, Codec] = {}
        self._repaired: dict[int, int] = {}
        self._red: dict[int, int] = {}
        self.update(media, now_ns)

    def update(self, media: NegotiatedMedia, now_ns: int) -> None:
        """Take what was negotiated anew; the stream goes on."""
        self._media = media
        self._codecs.clear()
        self._codecs |= {codec.payload_type: codec.codec for codec in media.codecs}
        self._red.clear()
        for codec in media.codecs:
            if codec.red_payload_type is not None:
                self._codecs[codec.red_payload_type] = codec.codec
                self._red[codec.red_payload_type] = codec.payload_type
        self._repaired = {
            codec.rtx_payload_type: codec.payload_type
            for codec in media.codecs
            if codec.rtx_payload_type is not None
        }
        if self._stream is None and media.kind is Kind.VIDEO and media.is_active:
            self._keyframes.need(now_ns + START_GRACE_NS)

    def close(self) -> None:
        """Nothing of the track is received any more."""
        if self._stream is not None:
            self._dozes.end(self._stream.source.ssrc)

    @property
    def ssrc(self) -> int | None:
        """The current SSRC, else the announced one."""
        if self._stream is not None:
            return self._stream.source.ssrc
        return self._media.ssrcs[0] if self._media.ssrcs else None

    @property
    def source(self) -> Source | None:
        """Bookkeeping of the current SSRC, for receiver reports."""
        return self._stream.source if self._stream is not None else None

    @property
    def next_epoch(self) -> int:
        """Above every epoch used so far."""
        return self._next_epoch if self._stream is None else self._stream.timeline.epoch + 1

    def want(self, is_wanted: bool, now_ns: int) -> None:
        """Whether anybody looks at it. If not, it may be paused, and no keyframe is asked for."""
        if is_wanted and not self._is_wanted:
            # What is sent anew begins with one.
            self._keyframes.put_off(now_ns + START_GRACE_NS)
        self._is_wanted = is_wanted

    def request_keyframe(self) -> None:
        """Ask for a keyframe with the next poll, within the limit of one a second."""
        if self.kind is Kind.VIDEO:
            self._keyframes.ask()

    def receive(self, packet: RtpPacket, arrival_ns: int) -> None:
        """Take a packet of this track. Raises `BadPacket`."""
        repaired = self._repaired.get(packet.payload_type)
        if repaired is not None:
            self._receive_rtx(packet, repaired, arrival_ns)
            return
        codec = self._codecs.get(packet.payload_type)
        stream = self._stream
        if stream is None or packet.ssrc != stream.source.ssrc:
            stream = self._replace_stream(packet, codec, arrival_ns)
            if stream is None:
                self.statistics.packets_discarded += 1
                return
        self.last_packet_ns = arrival_ns
        stream.receive(packet, codec, arrival_ns, is_retransmission=False)
        if stream.source.has_restarted and codec is not None:
            stream = self._begin_stream(packet, codec, arrival_ns)
            stream.receive(packet, codec, arrival_ns, is_retransmission=False)

    def receive_report(self, report: SenderReportPacket, arrival_ns: int) -> None:
        """Take a sender report of one of this track's SSRCs."""
        stream = self._stream
        if stream is None or stream.source.ssrc != report.ssrc:
            if stream is None and report.ssrc not in self._media.rtx_ssrcs:
                self._pending_report = report, arrival_ns
            return
        stream.source.note_sender_report(report, arrival_ns)
        if not self._hand_on_report(report, arrival_ns):
            self._pending_report = report, arrival_ns

    def end_source(self, ssrc: int, now_ns: int) -> None:
        """The sender said goodbye for *ssrc*; the track may go on under another one."""
        if self._stream is not None and self._stream.source.ssrc == ssrc:
            self._retire(now_ns)
            self._keyframes.satisfied()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is missing, waited for or asked for: polling would do nothing."""
        return (
            (self._stream is None or self._stream.is_idle)
            and (self._keyframes.is_idle or not self._may_ask)
            and (self._pending_report is None or self._stream is None)
        )

    def poll(self, sender_ssrc: int, now_ns: int) -> list[bytes]:
        """Feedback that is due: NACKs and keyframe requests, as RTCP packets."""
        feedback = []
        stream, ssrc = self._stream, self.ssrc
        if stream is not None:
            stream.source.missing.give_up_ns = self._patience.limit_ns(self.kind)
            stream.poll(now_ns)
        if self._may_ask and self._keyframes.take(now_ns):
            assert ssrc is not None
            self.statistics.keyframe_requests += 1
            feedback.append(build_pli(sender_ssrc, ssrc))
        if stream is not None:
            requests = stream.source.missing.due(now_ns)
            for at in range(0, len(requests), MAX_REQUESTED):
                self.statistics.nacks_sent += 1
                chunk = requests[at : at + MAX_REQUESTED]
                feedback.append(build_nack(sender_ssrc, stream.source.ssrc, chunk))
            if self._pending_report is not None:
                self._retry_report(now_ns)
        return feedback

    @property
    def _may_ask(self) -> bool:
        """Whether anybody would answer, and look at what comes."""
        return self._is_wanted and self._media.is_active and self.ssrc is not None

    def _receive_rtx(self, packet: RtpPacket, payload_type: int, arrival_ns: int) -> None:
        stream = self._stream
        if stream is None:
            return
        ssrc = stream.source.ssrc
        if self._media.rtx_ssrcs.get(packet.ssrc, ssrc) != ssrc:
            return  # repairs an SSRC that is not current
        original = unwrap_rtx(packet, payload_type=payload_type, ssrc=ssrc)
        if original is not None:
            codec = self._codecs.get(payload_type)
            stream.receive(original, codec, arrival_ns, is_retransmission=True)

    def _replace_stream(
        self, packet: RtpPacket, codec: Codec | None, now_ns: int
    ) -> AudioStream | VideoStream | None:
        """A stream for the packet's SSRC; None when it must not take over (yet)."""
        if codec is None:
            return None
        retired_ns = self._retired.get(packet.ssrc)
        if retired_ns is not None:
            # Two SSRCs in turns would mean an epoch per packet.
            quiet_since_ns = max(retired_ns, self.last_packet_ns or 0)
            if now_ns - quiet_since_ns < RETURN_NS:
                return None
            del self._retired[packet.ssrc]
        if self._stream is not None:
            self._retire(now_ns)
        return self._begin_stream(packet, codec, now_ns)

    def _retire(self, now_ns: int) -> None:
        assert self._stream is not None
        self._next_epoch = self.next_epoch
        self._dozes.end(self._stream.source.ssrc)
        self._retired[self._stream.source.ssrc] = now_ns
        while len(self._retired) > MAX_RETIRED:
            del self._retired[next(iter(self._retired))]
        self._stream = None
        self._pending_report = None

    def _begin_stream(
        self, packet: RtpPacket, codec: Codec, now_ns: int
    ) -> AudioStream | VideoStream:
        epoch = self.next_epoch
        clock_hz = codec.clock_rate_hz
        source = Source(
            packet,
            clock_hz=clock_hz,
            has_nack=any(entry.has_nack for entry in self._media.codecs),
            patience=self._patience,
            kind=self.kind,
            statistics=self.statistics,
        )
        timeline = Timeline(epoch=epoch, clock_hz=clock_hz)
        if self.kind is Kind.AUDIO:
            level_extension = self._media.extensions.get(AUDIO_LEVEL_URI)
            self._stream = AudioStream(
                source,
                track_id=self.track_id,
                timeline=timeline,
                red=self._red,
                level_extension=level_extension,
                doze=self._doze(packet.ssrc, level_extension),
                statistics=self.statistics,
                on_frame=self._on_frame,
            )
        else:
            self._stream = VideoStream(
                source,
                track_id=self.track_id,
                timeline=timeline,
                codecs=self._codecs,
                rotation_extension=self._media.extensions.get(ORIENTATION_URI),
                keyframes=self._keyframes,
                statistics=self.statistics,
                on_frame=self._on_frame,
                now_ns=now_ns,
            )
        return self._stream

    def _doze(self, ssrc: int, level_extension: int | None) -> Doze | None:
        if level_extension is None:
            return None
        return self._dozes.begin(self.track_id, ssrc, level_extension)

    def _hand_on_report(self, report: SenderReportPacket, arrival_ns: int) -> bool:
        """False when nothing has been delivered yet that it could be tied to."""
        assert self._stream is not None
        timeline = self._stream.timeline
        if not timeline.has_begun:
            return False
        timestamp = timeline.locate(report.rtp_timestamp, arrival_ns)
        if timestamp is not None:
            self._on_sender_report(
                SenderReport(
                    track_id=self.track_id,
                    epoch=timeline.epoch,
                    ntp_ns=ntp_to_ns(report.ntp),
                    rtp_timestamp=timestamp,
                    arrival_ns=arrival_ns,
                )
            )
        return True

    def _retry_report(self, now_ns: int) -> None:
        assert self._pending_report is not None
        assert self._stream is not None
        report, arrival_ns = self._pending_report
        if (
            report.ssrc != self._stream.source.ssrc
            or now_ns - arrival_ns > PENDING_REPORT_NS
            or self._hand_on_report(report, arrival_ns)
        ):
            self._pending_report = None
