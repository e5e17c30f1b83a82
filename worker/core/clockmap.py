"""One map per participant from the RTP timestamps of all its tracks to the job's clock.

Sender reports tie the tracks to each other, the promptest arrivals tie them to our clock. What is
read from the map moves slowly: once a track is heard it is slewed, and stepped only where time
really broke.
"""

from collections.abc import Iterator
from enum import Enum

from worker.core.identity import TrackId
from worker.core.reportline import SAME_CLOCK_NS, ReportLine
from worker.core.streamclock import StreamClock
from worker.core.timing import NS_PER_MS, NS_PER_S, SAMPLE_RATE_HZ

UNHEARD_NS = 300 * NS_PER_MS
"""Nothing of a track is decoded so soon after it appeared: until then its map may step."""
PAUSE_NS = NS_PER_S
"""After this long without a frame a track is silent or frozen, and counts as new."""
STEER_EVERY_NS = 100 * NS_PER_MS
RETARGET_EVERY_NS = 500 * NS_PER_MS
SETTLING_NS = 5 * NS_PER_S
SETTLING_PACE = 8e-3
"""Nanoseconds per nanosecond; the most that stretching sound by 8 samples a block can follow."""
PACE = 5e-3
PICTURE_PACE = 40e-3
"""Pictures alone may catch up faster than sound: a millisecond a frame is not seen."""
HURRY_NS = NS_PER_S
"""What a line was wrong by shrinks to a third within this time, however much it was: sound that is
spliced is better than sound that is not with its picture."""
REANCHOR_NS = 500 * NS_PER_MS
SLOWER_PATH_NS = 250 * NS_PER_MS
"""When nothing was prompter than this for two seconds the path is longer for good; frames would
miss their playout instant for minutes if the map were slewed."""
STALE_REPORT_NS = 20 * NS_PER_S
STALE_ARRIVAL_NS = 4 * NS_PER_S
EPOCHS_KEPT = 3


class Alignment(Enum):
    """What the tracks of a participant are aligned by."""

    ARRIVAL = "arrival"
    """No report yet."""
    REPORTS = "reports"
    REFUSED = "refused"
    """There are reports, but they contradict themselves: arrival is used."""


class ClockMap:
    """Capture instants of one participant's frames on our clock, plus the least network delay."""

    def __init__(self) -> None:
        self._streams: dict[tuple[TrackId, int], StreamClock] = {}
        self._early: dict[TrackId, tuple[int, int, int, int]] = {}
        self._common_ns: int | None = None
        """Our clock minus the sender's NTP clock, slewed."""
        self._target_ns: int | None = None
        self._retargeted_ns = 0
        self._alignment = Alignment.ARRIVAL
        self._born_ns: int | None = None
        self._steered_ns = 0
        self.reanchors = 0
        """How often the map had to step although something was audible or visible."""

    @property
    def alignment(self) -> Alignment:
        return self._alignment

    @property
    def reports_trusted(self) -> bool:
        """False also while there are no reports."""
        return self._alignment is Alignment.REPORTS

    def observe_report(
        self, track_id: TrackId, epoch: int, ntp_ns: int, rtp_timestamp: int, arrival_ns: int
    ) -> None:
        """Take in a sender report; *rtp_timestamp* is unwrapped like those of the frames."""
        stream = self._streams.get((track_id, epoch))
        if stream is None:
            self._early[track_id] = (epoch, ntp_ns, rtp_timestamp, arrival_ns)
            return
        before = [(s, self._capture_ns(s, s.last_rtp)) for s in self._streams.values()]
        stream.line.observe(ntp_ns, rtp_timestamp, arrival_ns)
        self._choose_alignment(arrival_ns)
        for other, was_ns in before:
            self._keep_continuous(other, was_ns, arrival_ns)

    def observe_arrival(
        self,
        track_id: TrackId,
        epoch: int,
        rtp_timestamp: int,
        clock_rate_hz: int,
        arrival_ns: int,
    ) -> None:
        """Take in the arrival of a frame, of every frame, before asking for its instant."""
        stream = self._streams.get((track_id, epoch))
        if stream is None:
            stream = self._open(track_id, epoch, rtp_timestamp, clock_rate_hz, arrival_ns)
        elif arrival_ns - stream.last_arrival_ns > PAUSE_NS:
            stream.unheard_until_ns = arrival_ns + UNHEARD_NS
        stream.last_arrival_ns = max(stream.last_arrival_ns, arrival_ns)
        stream.last_rtp = max(stream.last_rtp, rtp_timestamp)
        changed = stream.least.observe(rtp_timestamp, stream.media_ns(rtp_timestamp), arrival_ns)
        if arrival_ns - self._steered_ns >= STEER_EVERY_NS or (
            changed and stream.is_unheard(arrival_ns)
        ):
            self._steer(arrival_ns)

    def capture_ns(self, track_id: TrackId, epoch: int, rtp_timestamp: int) -> int | None:
        """When the frame was captured, on our clock, plus the least delay of the network.

        None when no frame of that epoch was observed, or it is older than the last three epochs.
        """
        stream = self._streams.get((track_id, epoch))
        return None if stream is None else self._capture_ns(stream, rtp_timestamp)

    def lateness_ns(self, now_ns: int) -> tuple[int, int]:
        """By how much the latest (sound, pictures) of the last seconds came later than the
        promptest media of this participant: what the playout delay has to cover.

        A stream that was late as a whole when it began, or whose clock has moved, counts from
        where the map puts it.
        """
        sound_ns = pictures_ns = 0
        for stream in self._streams.values():
            if now_ns - stream.last_arrival_ns > STALE_ARRIVAL_NS:
                continue
            late_ns = stream.least.spread_ns()
            if stream.by_reports and self._target_ns is not None:
                late_ns += stream.common_ns() - self._target_ns
            if stream.clock_rate_hz == SAMPLE_RATE_HZ:
                sound_ns = max(sound_ns, late_ns)
            else:
                pictures_ns = max(pictures_ns, late_ns)
        return sound_ns, pictures_ns

    def lag_ms(self, track_id: TrackId) -> float | None:
        """By how much the track arrives later than the participant's promptest one.

        Encoding, pacing and queueing at the sender; alignment by arrival would be wrong by as
        much. None without trusted reports of the track.
        """
        stream = self._newest(track_id)
        if stream is None or not stream.by_reports or self._target_ns is None:
            return None
        return (stream.common_ns() - self._target_ns) / NS_PER_MS

    def av_offset_ms(self, audio: TrackId, video: TrackId) -> float | None:
        """By how much the picture would lag behind the sound if both were shown as they arrive."""
        audio_ms, video_ms = self.lag_ms(audio), self.lag_ms(video)
        return None if audio_ms is None or video_ms is None else video_ms - audio_ms

    def remove(self, track_id: TrackId) -> None:
        """Forget a track that has ended and is played out."""
        self._early.pop(track_id, None)
        for key in [key for key in self._streams if key[0] == track_id]:
            del self._streams[key]

    def _open(
        self, track_id: TrackId, epoch: int, rtp: int, clock_rate_hz: int, arrival_ns: int
    ) -> StreamClock:
        epochs = sorted((key for key in self._streams if key[0] == track_id), key=lambda k: k[1])
        for key in epochs[: max(0, len(epochs) - EPOCHS_KEPT + 1)]:
            del self._streams[key]
        stream = StreamClock(
            clock_rate_hz=clock_rate_hz,
            first_rtp=rtp,
            last_rtp=rtp,
            last_arrival_ns=arrival_ns,
            unheard_until_ns=arrival_ns + UNHEARD_NS,
            line=ReportLine(clock_rate_hz),
            own_ns=arrival_ns,
        )
        self._streams[track_id, epoch] = stream
        if self._born_ns is None:
            self._born_ns = self._steered_ns = arrival_ns
        stream.least.observe(rtp, 0, arrival_ns)
        early = self._early.pop(track_id, None)
        if early is not None and early[0] == epoch:
            self.observe_report(track_id, *early)
        return stream

    def _capture_ns(self, stream: StreamClock, rtp_timestamp: int) -> int:
        if stream.by_reports and self._common_ns is not None:
            base_ns = stream.line.ntp_ns(rtp_timestamp) + self._common_ns
        else:
            base_ns = stream.media_ns(rtp_timestamp) + stream.own_ns
        return base_ns + stream.correction_ns

    def _choose_alignment(self, now_ns: int) -> None:
        lines = [s.line for s in self._newest_streams() if s.line.last_arrival_ns]
        fresh = [x for x in lines if now_ns - x.last_arrival_ns < STALE_REPORT_NS]
        delays_ns = [line.delay_ns for line in fresh if line.established]
        agree = not delays_ns or max(delays_ns) - min(delays_ns) <= SAME_CLOCK_NS
        trusted = agree and all(line.trusted for line in fresh)
        self._alignment = Alignment.REPORTS if trusted else Alignment.REFUSED
        was_used = any(s.by_reports for s in self._streams.values())
        for stream in self._streams.values():
            by_reports = trusted and stream.line.established
            if stream.by_reports and not by_reports:
                stream.own_ns = stream.least_ns()
            stream.by_reports = by_reports
        self._retarget(now_ns)
        # What is unheard may step, and at once: the next steering may be some packets away.
        if (trusted and not was_used) or self._is_unheard(now_ns):
            self._common_ns = self._target_ns

    def _keep_continuous(self, stream: StreamClock, was_ns: int, now_ns: int) -> None:
        """Let what was just re-based start from where it was; the difference is slewed away."""
        if stream.is_unheard(now_ns):
            stream.correction_ns = 0
            return
        stream.correction_ns += was_ns - self._capture_ns(stream, stream.last_rtp)
        if abs(stream.correction_ns) > REANCHOR_NS:
            stream.correction_ns = 0
            self.reanchors += 1

    def _steer(self, now_ns: int) -> None:
        elapsed_ns = min(max(0, now_ns - self._steered_ns), NS_PER_S)
        self._steered_ns = now_ns
        settling = self._born_ns is None or now_ns - self._born_ns < SETTLING_NS
        limit_ns = round(elapsed_ns * (SETTLING_PACE if settling else PACE))
        self._steer_common(now_ns, limit_ns)
        for stream in self._streams.values():
            if stream.is_unheard(now_ns):
                stream.own_ns, stream.correction_ns = stream.least_ns(), 0
                continue
            if stream.clock_rate_hz == SAMPLE_RATE_HZ:
                pace_ns = max(limit_ns, abs(stream.correction_ns) * elapsed_ns // HURRY_NS)
            else:
                pace_ns = round(elapsed_ns * PICTURE_PACE)
            stream.correction_ns = _toward(stream.correction_ns, 0, pace_ns)
            if not stream.by_reports:
                self._steer_own(stream, limit_ns)

    def _steer_common(self, now_ns: int, limit_ns: int) -> None:
        unheard = self._is_unheard(now_ns)
        if unheard or now_ns - self._retargeted_ns >= RETARGET_EVERY_NS:
            self._retarget(now_ns)
        if self._common_ns is None or self._target_ns is None:
            return
        if unheard:
            self._common_ns = self._target_ns
        elif abs(self._target_ns - self._common_ns) > REANCHOR_NS:
            self._common_ns = self._target_ns
            self.reanchors += 1
        else:
            self._common_ns = _toward(self._common_ns, self._target_ns, limit_ns)

    def _is_unheard(self, now_ns: int) -> bool:
        """Whether nothing of any stream can have been decoded yet."""
        return all(stream.is_unheard(now_ns) for stream in self._streams.values())

    def _retarget(self, now_ns: int) -> None:
        self._retargeted_ns = now_ns
        streams = [
            s
            for s in self._streams.values()
            if s.by_reports and now_ns - s.last_arrival_ns < STALE_ARRIVAL_NS
        ]
        if self._common_ns is not None and any(s.least.is_recent_proof() for s in streams):
            ahead_ns = min(s.common_ns(recent=True) for s in streams) - self._common_ns
            if ahead_ns > SLOWER_PATH_NS:
                self._take_slower_path(streams, ahead_ns)
        self._target_ns = min((s.common_ns() for s in streams), default=self._target_ns)

    def _take_slower_path(self, streams: list[StreamClock], ahead_ns: int) -> None:
        assert self._common_ns is not None
        for stream in streams:
            stream.least.forget_before_recent()
        self._common_ns += ahead_ns
        self.reanchors += 1

    def _steer_own(self, stream: StreamClock, limit_ns: int) -> None:
        recent_ns = min(prompt.delay_ns for prompt in stream.least.recent())
        if recent_ns - stream.own_ns > SLOWER_PATH_NS and stream.least.is_recent_proof():
            stream.least.forget_before_recent()
        elif abs(stream.least_ns() - stream.own_ns) <= REANCHOR_NS:
            stream.own_ns = _toward(stream.own_ns, stream.least_ns(), limit_ns)
            return
        stream.own_ns, stream.correction_ns = stream.least_ns(), 0
        self.reanchors += 1

    def _newest_streams(self) -> Iterator[StreamClock]:
        for track_id in {key[0] for key in self._streams}:
            stream = self._newest(track_id)
            if stream is not None:
                yield stream

    def _newest(self, track_id: TrackId) -> StreamClock | None:
        epochs = [epoch for track, epoch in self._streams if track == track_id]
        return self._streams[track_id, max(epochs)] if epochs else None


def _toward(value: int, target: int, limit: int) -> int:
    return value + min(limit, max(-limit, target - value))
