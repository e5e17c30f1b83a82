"""Where the room delivers: routes frames to their tracks and events to the director."""

import logging
from collections.abc import Callable, Iterator, Mapping

from worker.core.identity import (
    Kind,
    Participant,
    ParticipantId,
    Source,
    Track,
    TrackId,
    UserId,
)
from worker.core.offences import Conduct
from worker.core.timing import NS_PER_S
from worker.engine.attendance import Attendance, Departed, Entry, entry_of
from worker.engine.decoders import DecoderThreads
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
    TrackStatistics,
)

log = logging.getLogger(__name__)

FORGET_NS = 7 * NS_PER_S
"""An ended track is kept this long, until the last of it has been shown and heard."""
MEASURE_NS = NS_PER_S
"""How often what is wanted in the result alone is measured."""


class Intake:
    """`ports.RoomListener` of a job. Everything here runs on the event loop's thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        kit: MediaKit,
        schedule: Callable[[int, RoomEvent], None],
        request_keyframe: Callable[[TrackId], None],
        decoder_threads: DecoderThreads,
        thread_cpu_ns: Callable[[], int],
        video: bool,
        hears: Callable[[UserId], bool],
        statistics: Callable[[], Mapping[TrackId, TrackStatistics]],
        forget: Callable[[TrackId], None],
    ) -> None:
        """*hears*: whose sound is wanted at all; *video*: whether anybody's pictures are.
        *statistics* and *forget* are the room's.
        """
        self._clock = clock
        self._kit = kit
        self._schedule = schedule
        self._request_keyframe = request_keyframe
        self._decoder_threads = decoder_threads
        self._thread_cpu_ns = thread_cpu_ns
        self._video_wanted = video
        self._hears = hears
        self._statistics = statistics
        self._forget_counters = forget
        self._video: dict[TrackId, VideoIngest] = {}
        self._audio: dict[TrackId, AudioIngest] = {}
        self._present: dict[ParticipantId, Attendance] = {}
        self._owners: dict[TrackId, Attendance] = {}
        """Of every track that is published, or has ended and is not forgotten."""
        self._leaving: list[Attendance] = []
        """Gone, but the last of them may still be shown and heard."""
        self.departed = Departed()
        # Kept for the job: who re-joins or publishes anew is known still.
        self._conduct: dict[tuple[UserId, Source], Conduct] = {}
        self._measured_ns = clock.now_ns()
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
    def present(self) -> int:
        """Participants who are there, publishing or not; pure receivers are none (API 5)."""
        return len(self._present)

    def people(self) -> Iterator[Participant]:
        """Who is there, in the order they came."""
        return (attendance.participant for attendance in self._present.values())

    def entries(self) -> list[Entry]:
        """For the result: everybody who was ever there, in the order they came."""
        rest = [self._entry(each) for each in (*self._leaving, *self._present.values())]
        return sorted([*self.departed, *rest], key=lambda entry: entry.joined_ns)

    @property
    def conduct(self) -> Mapping[tuple[UserId, Source], Conduct]:
        """The record of every video source so far."""
        return self._conduct

    def muted(self) -> frozenset[TrackId]:
        """Videos that are muted for their offences."""
        return frozenset(key for key, ingest in self._video.items() if ingest.is_muted)

    def expect(self, track_id: TrackId) -> None:
        """A video will be shown a playout delay from now."""
        ingest = self._video.get(track_id)
        if ingest is not None:
            ingest.expect(self._clock.now_ns())

    def on_event(self, event: RoomEvent) -> None:
        now_ns = self._clock.now_ns()
        self.last_heard_ns = now_ns
        match event:
            case RoomConnected():
                self.is_connected = True
            case RoomDisconnected():
                self.is_connected = False
            case ParticipantJoined(participant):
                self._joined(participant, now_ns)
            case ParticipantLeft(participant_id):
                self._left(participant_id, now_ns)
            case TrackPublished(track):
                self._published(track)
            case TrackEnded(track_id):
                self._ended(track_id, now_ns)
            case TrackMuted(track_id, muted):
                # A muted video is left out by the scene.
                if (audio := self._audio.get(track_id)) is not None:
                    audio.mute(now_ns, muted=muted)
        self._schedule(now_ns, event)

    def on_frame(self, frame: EncodedFrame) -> None:
        ingest = self._ingest(frame.track_id)
        if ingest is None:
            self.unknown_frames += 1
            return
        self.last_heard_ns = frame.arrival_ns
        ingest.clock_map.observe_arrival(
            frame.track_id,
            frame.epoch,
            frame.rtp_timestamp,
            frame.codec.clock_rate_hz,
            frame.arrival_ns,
        )
        ingest.push(frame)

    def on_sender_report(self, report: SenderReport) -> None:
        ingest = self._ingest(report.track_id)
        if ingest is not None:
            ingest.clock_map.observe_report(
                report.track_id,
                report.epoch,
                report.ntp_ns,
                report.rtp_timestamp,
                report.arrival_ns,
            )

    def lateness_ns(self, now_ns: int) -> tuple[int, int]:
        """By how much the latest (sound, pictures) of anybody came later than the promptest."""
        late = [each.clock_map.lateness_ns(now_ns) for each in self._present.values()]
        return max((sound for sound, _ in late), default=0), max((p for _, p in late), default=0)

    def look_back(self, now_ns: int) -> None:
        """What is to be done ten times a second: mutes that end, decoders that hang, old tracks."""
        self._decoder_threads.look()
        for video in self._video.values():
            video.look(now_ns)
        ingests: list[VideoIngest | AudioIngest] = [*self._video.values(), *self._audio.values()]
        for ingest in ingests:
            if ingest.ended_ns is not None and ingest.ended_ns + FORGET_NS < now_ns:
                self._forget(ingest)
        for attendance in [each for each in self._leaving if self._is_settled(each, now_ns)]:
            self._leaving.remove(attendance)
            self._settle(attendance)
        if now_ns - self._measured_ns >= MEASURE_NS:
            self._measured_ns = now_ns
            for attendance in self._present.values():
                offset_ms = _av_offset_ms(attendance)
                if offset_ms is not None:
                    attendance.av_offset_ms = offset_ms

    def _is_settled(self, attendance: Attendance, now_ns: int) -> bool:
        assert attendance.left_ns is not None
        if attendance.left_ns + FORGET_NS >= now_ns:
            return False
        return not any(self._ingest(track_id) for track_id in self._owned(attendance))

    def _settle(self, attendance: Attendance) -> None:
        owned = self._owned(attendance)
        statistics = self._statistics()
        known = [statistics[track_id] for track_id in owned if track_id in statistics]
        self.departed.add(self._entry(attendance), known)
        for track_id in owned:
            del self._owners[track_id]
            self._forget_counters(track_id)

    def _entry(self, attendance: Attendance) -> Entry:
        facts = dict(attendance.ended)
        for track_id in self._owned(attendance):
            if (ingest := self._ingest(track_id)) is not None:
                facts[track_id] = ingest.facts()
        return entry_of(attendance, self._statistics(), facts)

    def _owned(self, attendance: Attendance) -> list[TrackId]:
        """Its tracks, but for those that came back with a later presence."""
        return [key for key in attendance.tracks if self._owners.get(key) is attendance]

    def _ingest(self, track_id: TrackId) -> VideoIngest | AudioIngest | None:
        return self._video.get(track_id) or self._audio.get(track_id)

    def _published(self, track: Track) -> None:
        attendance = self._present.get(track.participant_id)
        if attendance is None:
            log.warning("track of an unknown participant", extra={"track": track.track_id})
            return
        if track.track_id in attendance.live:
            return  # listed again after a reconnect
        former = self._ingest(track.track_id)
        if former is not None:
            self._forget(former)
        attendance.tracks[track.track_id] = track
        attendance.live.add(track.track_id)
        self._owners[track.track_id] = attendance
        if track.kind is Kind.AUDIO:
            if not self._hears(attendance.participant.user_id):
                return
            self._audio[track.track_id] = AudioIngest(
                track=track,
                clock_map=attendance.clock_map,
                decoder=self._kit.audio_decoder(),
            )
        elif self._video_wanted:
            source = attendance.participant.user_id, track.source
            self._video[track.track_id] = VideoIngest(
                track=track,
                clock=self._clock,
                clock_map=attendance.clock_map,
                decoder=self._kit.video_decoder(),
                threads=self._decoder_threads,
                thread_cpu_ns=self._thread_cpu_ns,
                conduct=self._conduct.setdefault(source, Conduct()),
                request_keyframe=lambda: self._request_keyframe(track.track_id),
            )

    def _joined(self, participant: Participant, now_ns: int) -> None:
        if participant.participant_id in self._present:
            return  # listed again after a reconnect
        self._present[participant.participant_id] = Attendance(participant, now_ns)

    def _left(self, participant_id: ParticipantId, now_ns: int) -> None:
        attendance = self._present.pop(participant_id, None)
        if attendance is not None:
            for track_id in list(attendance.live):
                self._ended(track_id, now_ns)
            attendance.left_ns = now_ns
            self._leaving.append(attendance)

    def _ended(self, track_id: TrackId, now_ns: int) -> None:
        if (attendance := self._owners.get(track_id)) is not None:
            attendance.live.discard(track_id)
        ingest = self._ingest(track_id)
        if ingest is not None and ingest.ended_ns is None:
            ingest.ended_ns = now_ns

    def _forget(self, ingest: VideoIngest | AudioIngest) -> None:
        track_id = ingest.track.track_id
        attendance = self._owners[track_id]
        attendance.ended[track_id] = ingest.facts()
        attendance.clock_map.remove(track_id)
        self._video.pop(track_id, None)
        self._audio.pop(track_id, None)


def _av_offset_ms(attendance: Attendance) -> float | None:
    newest = {
        (track.kind, track.source): track_id
        for track_id, track in attendance.tracks.items()
        if track_id in attendance.live
    }
    microphone = newest.get((Kind.AUDIO, Source.MICROPHONE))
    camera = newest.get((Kind.VIDEO, Source.CAMERA))
    if microphone is None or camera is None:
        return None
    offset_ms = attendance.clock_map.av_offset_ms(microphone, camera)
    return None if offset_ms is None else round(offset_ms, 1)
