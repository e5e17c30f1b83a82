"""Where the room delivers: routes frames to their tracks and events to the director."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from worker.core.clockmap import ClockMap
from worker.core.identity import (
    Codec,
    Kind,
    Participant,
    ParticipantId,
    Track,
    TrackId,
)
from worker.core.timing import NS_PER_S
from worker.engine.hearing import AudioIngest
from worker.engine.ingest import VideoIngest
from worker.ports import (
    Clock,
    EncodedFrame,
    MediaKit,
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    RoomEvent,
    SenderReport,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)

log = logging.getLogger(__name__)

CLOCK_RATE_HZ = {Codec.OPUS: 48_000, Codec.VP8: 90_000, Codec.VP9: 90_000, Codec.H264: 90_000}

FORGET_NS = 5 * NS_PER_S
"""An ended track is kept this long, until the last of it has been shown and heard."""


@dataclass(slots=True)
class Attendance:
    """One presence of one participant, for the result."""

    participant: Participant
    joined_ns: int
    left_ns: int | None = None
    tracks: dict[TrackId, Track] = field(default_factory=dict)
    clock_map: ClockMap = field(default_factory=ClockMap)


class Intake:
    """`ports.RoomListener` of a job. Everything here runs on the event loop's thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        kit: MediaKit,
        schedule: Callable[[int, RoomEvent], None],
        request_keyframe: Callable[[TrackId], None],
        decoder_threads: list[Executor],
        video: bool,
    ) -> None:
        self._clock = clock
        self._kit = kit
        self._schedule = schedule
        self._request_keyframe = request_keyframe
        self._decoder_threads = decoder_threads
        self._video_wanted = video
        self._next_thread = 0
        self._video: dict[TrackId, VideoIngest] = {}
        self._audio: dict[TrackId, AudioIngest] = {}
        self.attendance: dict[ParticipantId, Attendance] = {}
        self.is_connected = False
        self.last_heard_ns = clock.now_ns()
        """When the room last gave a sign of life: an event or media."""
        self.unknown_frames = 0

    @property
    def video(self) -> Mapping[TrackId, VideoIngest]:
        return self._video

    @property
    def audio(self) -> Mapping[TrackId, AudioIngest]:
        return self._audio

    @property
    def publishers(self) -> int:
        """Participants present who publish at least one track now."""
        return sum(
            1
            for attendance in self.attendance.values()
            if attendance.left_ns is None
            and any(not self._ended(track_id) for track_id in attendance.tracks)
        )

    def on_event(self, event: RoomEvent) -> None:
        now_ns = self._clock.now_ns()
        self.last_heard_ns = now_ns
        match event:
            case RoomConnected():
                self.is_connected = True
            case RoomDisconnected():
                self.is_connected = False
            case ParticipantJoined(participant):
                self.attendance[participant.participant_id] = Attendance(participant, now_ns)
            case ParticipantLeft(participant_id):
                self._left(participant_id, now_ns)
            case TrackPublished(track):
                self._published(track)
            case TrackEnded(track_id):
                self._ended_at(track_id, now_ns)
            case TrackMuted(track_id, muted):
                if (video := self._video.get(track_id)) is not None and not muted:
                    video.expect_keyframe()
        self._schedule(now_ns, event)

    def on_frame(self, frame: EncodedFrame) -> None:
        video = self._video.get(frame.track_id)
        audio = None if video is not None else self._audio.get(frame.track_id)
        ingest = video or audio
        if ingest is None:
            self.unknown_frames += 1
            return
        self.last_heard_ns = frame.arrival_ns
        ingest.clock_map.observe_arrival(
            frame.track_id,
            frame.epoch,
            frame.rtp_timestamp,
            CLOCK_RATE_HZ[frame.codec],
            frame.arrival_ns,
        )
        ingest.push(frame)

    def on_sender_report(self, report: SenderReport) -> None:
        ingest = self._video.get(report.track_id) or self._audio.get(report.track_id)
        if ingest is not None:
            ingest.clock_map.observe_report(
                report.track_id,
                report.epoch,
                report.ntp_ns,
                report.rtp_timestamp,
                report.arrival_ns,
            )

    def forget(self, room_ns: int) -> None:
        """Drop the tracks that ended well before room time *room_ns*."""
        for tracks in (self._video, self._audio):
            for track_id, ingest in list(tracks.items()):
                if ingest.ended_ns is not None and ingest.ended_ns + FORGET_NS < room_ns:
                    del tracks[track_id]

    def _published(self, track: Track) -> None:
        attendance = self.attendance.get(track.participant_id)
        if attendance is None:
            log.warning("track of an unknown participant", extra={"track": track.track_id})
            return
        attendance.tracks[track.track_id] = track
        if track.kind is Kind.AUDIO:
            self._audio[track.track_id] = AudioIngest(
                track=track,
                clock_map=attendance.clock_map,
                decoder=self._kit.audio_decoder(),
            )
        elif self._video_wanted:
            executor = self._decoder_threads[self._next_thread % len(self._decoder_threads)]
            self._next_thread += 1
            self._video[track.track_id] = VideoIngest(
                track=track,
                clock_map=attendance.clock_map,
                decoder=self._kit.video_decoder(),
                executor=executor,
                request_keyframe=lambda: self._request_keyframe(track.track_id),
            )

    def _left(self, participant_id: ParticipantId, now_ns: int) -> None:
        attendance = self.attendance.get(participant_id)
        if attendance is not None and attendance.left_ns is None:
            attendance.left_ns = now_ns
            for track_id in attendance.tracks:
                self._ended_at(track_id, now_ns)

    def _ended_at(self, track_id: TrackId, now_ns: int) -> None:
        ingest = self._video.get(track_id) or self._audio.get(track_id)
        if ingest is not None and ingest.ended_ns is None:
            ingest.ended_ns = now_ns

    def _ended(self, track_id: TrackId) -> bool:
        ingest = self._video.get(track_id) or self._audio.get(track_id)
        return ingest is None or ingest.ended_ns is not None
