"""One peer connection's receive side: packets in, frames and sender reports out, RTCP back.

Drive it with `on_rtp`, `on_rtcp` and, every 5 to 20 ms, `poll`. All times are ns on one
monotonic clock.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import islice

from worker.core.identity import Kind, TrackId
from worker.core.timing import NS_PER_S
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.media import TRANSPORT_CC, TRANSPORT_CC_URI, NegotiatedMedia
from worker.rooms.receive.demultiplex import Demultiplexer
from worker.rooms.receive.doze import Dozes, Gate, Resting
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.track import TrackReceiver
from worker.rooms.receive.transport_feedback import TransportFeedback
from worker.rooms.rtp.packet import BadPacket, RtpPacket, header_extension, parse_rtp
from worker.rooms.rtp.rtcp import (
    ByePacket,
    ReceiverReportPacket,
    ReportBlock,
    SenderReportPacket,
    build_cname,
    build_receiver_report,
    build_remb,
    pack_compounds,
    parse_rtcp,
)

REPORT_INTERVAL_NS = NS_PER_S
VIDEO_CEILING_BPS = 3_000_000
AUDIO_CEILING_BPS = 250_000
"""What REMB grants per track: above what browsers send at 720p, so that it throttles nobody."""
CNAME = "mixworker"
MAX_TRACKS = 64


@dataclass(slots=True)
class ReceiverCounters:
    """Packets of one connection that reached no track."""

    malformed: int = 0
    unknown: int = 0
    """Of no known SSRC, MID or payload type, or of one SSRC too many."""


class PeerReceiver:
    """Receives all tracks of one connection. Handlers are called from within `on_rtp`, `on_rtcp`
    and `poll`.
    """

    def __init__(
        self,
        *,
        ssrc: int,
        on_frame: Callable[[EncodedFrame], None],
        on_sender_report: Callable[[SenderReport], None],
        statistics: MutableMapping[TrackId, TrackStatistics],
        first_epoch: int = 0,
        patience: Patience | None = None,
        resting: Resting | None = None,
        wanted: Collection[TrackId] | None = None,
    ) -> None:
        """*ssrc* names us in RTCP. *statistics* is shared with the connections of the same
        tracks before and after this one; *first_epoch* must be above all of the former's.
        *patience* and *resting* are the room's; *wanted*: see `want_video`.
        """
        self.counters = ReceiverCounters()
        self.last_rtp_ns: int | None = None
        self._ssrc = ssrc
        self._on_frame = on_frame
        self._on_sender_report = on_sender_report
        self._statistics = statistics
        self._next_epoch = first_epoch
        self._patience = patience or Patience()
        self._transport_feedback = TransportFeedback(ssrc)
        self._transport_id: int | None = None
        """Header extension of transport-wide numbers; None when feedback on them is not agreed."""
        self._latest_ssrc = 0
        self._demultiplexer = Demultiplexer()
        self._dozes = Dozes(resting or Resting(), self._note_transport_number)
        self._tracks: dict[TrackId, TrackReceiver] = {}
        self._wanted = wanted
        self._next_report_ns = 0
        self.is_idle = False
        """Nothing is waited for, so that only the clock can make something due."""
        self._next_duty_ns = 0

    @property
    def next_epoch(self) -> int:
        """Above every epoch this connection has delivered; for its successor."""
        return max((track.next_epoch for track in self._tracks.values()), default=self._next_epoch)

    @property
    def gates(self) -> Mapping[bytes, Gate]:
        """By SSRC, as bytes: what datagrams may pass before `on_rtp` takes them; changes."""
        return self._dozes.gates

    def set_tracks(self, media: Mapping[TrackId, NegotiatedMedia], now_ns: int) -> None:
        """Take what was negotiated; tracks that stay go on, at most 64 are kept."""
        self._next_epoch = self.next_epoch
        tracks: dict[TrackId, TrackReceiver] = {}
        for track_id, entry in islice(media.items(), MAX_TRACKS):
            track = self._tracks.get(track_id)
            if track is None:
                track = TrackReceiver(
                    track_id,
                    entry,
                    first_epoch=self._next_epoch,
                    patience=self._patience,
                    dozes=self._dozes,
                    statistics=self._statistics.setdefault(track_id, TrackStatistics()),
                    on_frame=self._on_frame,
                    on_sender_report=self._on_sender_report,
                    now_ns=now_ns,
                    is_wanted=self._is_wanted(track_id),
                )
            else:
                track.update(entry, now_ns)
            tracks[track_id] = track
        for track_id in self._tracks.keys() - tracks.keys():
            self._tracks[track_id].close()
        self._tracks = tracks
        self.is_idle = False
        self._transport_id = next(
            (
                entry.extensions[TRANSPORT_CC_URI]
                for entry in media.values()
                if TRANSPORT_CC_URI in entry.extensions
                and any(TRANSPORT_CC in codec.feedback for codec in entry.codecs)
            ),
            None,
        )
        self._demultiplexer.set_media(
            (track_id, media[track_id]) for track_id in tracks if media[track_id].is_active
        )

    def want_video(self, wanted: Collection[TrackId] | None, now_ns: int) -> None:
        """Ask for keyframes of the videos in *wanted* only; None: of all."""
        self._wanted = wanted
        for track_id, track in self._tracks.items():
            track.want(self._is_wanted(track_id), now_ns)
        self.is_idle = False

    def expect_change(self, is_expected: bool) -> None:
        """Whether an offer waits for its answer: till then no payload type tells a track."""
        self._demultiplexer.is_changing = is_expected

    def on_rtp(self, data: bytes, arrival_ns: int) -> None:
        """Take one plain RTP packet; malformed ones are counted."""
        try:
            packet = parse_rtp(data)
            if self._transport_id is not None and not self._dozes.has_kept(packet, arrival_ns):
                self._note_transport_number(packet, arrival_ns)
            track_id = self._demultiplexer.route(packet, arrival_ns)
            if track_id is None:
                self.counters.unknown += 1
                return
            self.last_rtp_ns = arrival_ns
            track = self._tracks[track_id]
            track.receive(packet, arrival_ns)
            if self.is_idle:
                self.is_idle = track.is_idle
        except BadPacket:
            self.counters.malformed += 1
            self.is_idle = False

    def on_rtcp(self, data: bytes, arrival_ns: int) -> None:
        """Take one plain RTCP compound; malformed ones are counted."""
        try:
            packets = parse_rtcp(data)
        except BadPacket:
            self.counters.malformed += 1
            return
        self.is_idle = False
        for packet in packets:
            if isinstance(packet, SenderReportPacket):
                track = self._track_of(packet.ssrc)
                if track is not None:
                    track.receive_report(packet, arrival_ns)
            elif isinstance(packet, ByePacket):
                for ssrc in packet.ssrcs:
                    track = self._track_of(ssrc)
                    if track is not None:
                        track.end_source(ssrc, arrival_ns)

    def poll(self, now_ns: int) -> Sequence[bytes]:
        """Do what is due; returns RTCP compounds to send. Next to free while all goes well."""
        if self.is_idle and now_ns < self._next_duty_ns:
            return ()
        is_report_due = self.last_rtp_ns is not None and now_ns >= self._next_report_ns
        extra: list[bytes] = []
        if is_report_due:
            self._next_report_ns = now_ns + REPORT_INTERVAL_NS
            extra = self._bitrate_limit()
        compounds: list[bytes] = []
        for track in self._tracks.values():
            feedback = track.poll(self._ssrc, now_ns)
            source = track.source
            if feedback or (source is not None and (is_report_due or source.owes_report)):
                compounds += pack_compounds([*self._report(track, now_ns), *feedback, *extra])
                extra = []
        compounds += self._transport_feedback.poll(self._latest_ssrc, now_ns)
        self.is_idle = all(track.is_idle for track in self._tracks.values())
        self._next_duty_ns = self._next_report_ns
        if self._transport_id is not None:
            self._next_duty_ns = min(self._next_report_ns, self._transport_feedback.due_ns)
        return compounds

    def request_keyframe(self, track_id: TrackId) -> None:
        """Ask for a keyframe of *track_id*; at most one request a second goes out."""
        track = self._tracks.get(track_id)
        if track is not None:
            track.request_keyframe()
            self.is_idle = False

    def last_packet_ns(self, track_id: TrackId) -> int | None:
        """When the last packet of *track_id* came; None before the first."""
        track = self._tracks.get(track_id)
        return track.last_packet_ns if track is not None else None

    def _is_wanted(self, track_id: TrackId) -> bool:
        return self._wanted is None or track_id in self._wanted

    def _note_transport_number(self, packet: RtpPacket, arrival_ns: int) -> None:
        if self._transport_id is None:
            return
        value = header_extension(packet, self._transport_id)
        if value is not None and len(value) == 2:
            self._latest_ssrc = packet.ssrc
            self._transport_feedback.note(value[0] << 8 | value[1], arrival_ns)

    def _track_of(self, ssrc: int) -> TrackReceiver | None:
        track_id = self._demultiplexer.track_of(ssrc)
        return self._tracks.get(track_id) if track_id is not None else None

    def _report(self, track: TrackReceiver, now_ns: int) -> Iterator[bytes]:
        """What a compound begins with (RFC 3550, 6.1): a report, and our name.

        Each track has compounds of its own, and a report first: there are servers that take all
        of a compound to be about the first stream it names.
        """
        source, ssrc = track.source, track.ssrc
        if source is not None:
            blocks: tuple[ReportBlock, ...] = (source.report(now_ns),)
        else:
            blocks = () if ssrc is None else (ReportBlock(ssrc, 0, 0, 0, 0, 0, 0),)
        yield build_receiver_report(ReceiverReportPacket(self._ssrc, blocks))
        yield build_cname(self._ssrc, CNAME)

    def _bitrate_limit(self) -> list[bytes]:
        """What all may send together; with transport feedback senders find out for themselves."""
        if self._transport_id is not None:
            return []
        videos = [
            track.ssrc
            for track in self._tracks.values()
            if track.kind is Kind.VIDEO and track.ssrc is not None
        ]
        audio_count = sum(track.kind is Kind.AUDIO for track in self._tracks.values())
        ceiling_bps = len(videos) * VIDEO_CEILING_BPS + audio_count * AUDIO_CEILING_BPS
        return [build_remb(self._ssrc, ceiling_bps, videos)]
