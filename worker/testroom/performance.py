"""What one actor does, instant by instant: the script unrolled, pure and endless if need be.

The same sequence drives a publisher in a real room and the rehearsal room, so both send the same
frames with the same timestamps at the same instants.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from worker.core.identity import Source
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ
from worker.testroom.acts import (
    Act,
    AudioDue,
    Ended,
    Joined,
    Left,
    MuteChanged,
    NetworkChanged,
    Published,
    ReportDue,
    ReportsSwitched,
    VideoDue,
)
from worker.testroom.scenario import (
    Action,
    Actor,
    Leave,
    Rejoin,
    Scenario,
    SetMuted,
    SetNetwork,
    SetSenderReports,
    SetVoice,
    ShareScreen,
    StopScreen,
    VideoFeed,
)
from worker.testroom.sender_clock import SenderClock
from worker.testroom.voice import Voice, VoiceMode

VIDEO_CLOCK_HZ = 90_000
_REPORT_INTERVAL_NS = NS_PER_S
_SILENCE = Voice(VoiceMode.SILENT, beep=False)
_NEVER_NS = 1 << 62


def perform(scenario: Scenario, actor: Actor) -> Iterator[Act]:
    """Everything *actor* does, in order of time; instants are ns from the start of the scenario.

    Endless as long as the actor is in the room. The first frame or block of a track is the first
    one the actor's clock has due at or after its start.
    """
    return _Performance(scenario, actor).run()


@dataclass(slots=True)
class _Stream:
    """One running track. `unit_ns(k)` on the actor's clock is when unit k is captured."""

    label: str
    source: Source
    feed: VideoFeed | None
    rtp_start: int
    next_unit: int
    report_at_ns: int
    muted: bool
    losing: float = 0.0
    """How much of the next unit to be lost has come together."""

    @property
    def rate_hz(self) -> int:
        return VIDEO_CLOCK_HZ if self.feed else SAMPLE_RATE_HZ

    def unit_ns(self, unit: int) -> int:
        return unit * NS_PER_S // self.feed.fps if self.feed else unit * BLOCK_NS

    def unit_timestamp(self, unit: int) -> int:
        ticks = unit * VIDEO_CLOCK_HZ // self.feed.fps if self.feed else unit * BLOCK_SAMPLES
        return self.rtp_start + ticks

    def lose(self, share: float) -> None:
        """Let the microphone lose the next block, if it is time for one; nobody counts it."""
        self.losing += share
        if self.losing >= 1.0:
            self.losing -= 1.0
            self.next_unit += 1
            self.rtp_start -= BLOCK_SAMPLES


@dataclass(slots=True)
class _Performance:
    """The state while a script is unrolled."""

    scenario: Scenario
    actor: Actor
    clock: SenderClock = field(init=False)
    voice: Voice | None = field(init=False)
    muted: dict[Source, bool] = field(init=False, default_factory=dict)
    reports: bool = field(init=False)
    presence: int = field(init=False, default=0)
    present: bool = field(init=False, default=False)
    screens: int = field(init=False, default=0)
    streams: list[_Stream] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SenderClock.of(self.actor, self.scenario.seed)
        self.voice = self.actor.voice
        self.reports = self.actor.sender_reports

    def run(self) -> Iterator[Act]:
        for at_ns, action in self._script():
            yield from self._media_until(at_ns)
            yield from self._do(at_ns, action)
        yield from self._media_until(_NEVER_NS)

    def _script(self) -> list[tuple[int, Action]]:
        """Cues with the join and leave of the actor's own table among them."""
        script: list[tuple[float, Action]] = [(self.actor.join_s, Rejoin())]
        script += [(cue.at_s, cue.action) for cue in self.scenario.cues_of(self.actor.user_id)]
        if self.actor.leave_s is not None:
            script.append((self.actor.leave_s, Leave()))
        return sorted(
            ((round(at_s * NS_PER_S), action) for at_s, action in script),
            key=lambda entry: entry[0],
        )

    def _do(self, at_ns: int, action: Action) -> Iterator[Act]:
        match action:
            case Rejoin() if not self.present:
                yield from self._join(at_ns)
            case Leave() if self.present:
                self.present = False
                self.streams.clear()
                yield Left(at_ns)
            case SetMuted(source, muted):
                self.muted[source] = muted
                for stream in self._streams_of(source):
                    self._skip_to(stream, at_ns)
                    stream.muted = muted
                    yield MuteChanged(at_ns, stream.label, muted)
            case ShareScreen(feed) if self.present and not self._streams_of(Source.SCREEN):
                self.screens += 1
                yield self._publish(at_ns, f"screen-{self.screens}", Source.SCREEN, feed)
            case StopScreen():
                for stream in self._streams_of(Source.SCREEN):
                    self.streams.remove(stream)
                    yield Ended(at_ns, stream.label)
            case SetVoice(voice):
                self.voice = voice
            case SetNetwork(faults):
                yield NetworkChanged(at_ns, faults)
            case SetSenderReports(enabled):
                self.reports = enabled
                yield ReportsSwitched(at_ns, enabled)

    def _join(self, at_ns: int) -> Iterator[Act]:
        self.present = True
        self.presence += 1
        self.screens = 0
        yield Joined(at_ns, self.presence)
        if self.voice is not None:
            yield self._publish(at_ns, "microphone", Source.MICROPHONE, None)
        if self.actor.camera is not None:
            yield self._publish(at_ns, "camera", Source.CAMERA, self.actor.camera)

    def _publish(self, at_ns: int, label: str, source: Source, feed: VideoFeed | None) -> Published:
        name = f"{self.scenario.seed}/{self.actor.user_id}/{self.presence}/{label}"
        stream = _Stream(
            label=label,
            source=source,
            feed=feed,
            rtp_start=Random(name).getrandbits(32),
            next_unit=0,
            report_at_ns=at_ns,
            muted=self.muted.get(source, False),
        )
        self._skip_to(stream, at_ns)
        self.streams.append(stream)
        return Published(at_ns, label, source, feed, stream.muted, stream.rtp_start)

    def _streams_of(self, source: Source) -> list[_Stream]:
        return [stream for stream in self.streams if stream.source is source]

    def _skip_to(self, stream: _Stream, at_ns: int) -> None:
        """Continue with the first unit due at or after *at_ns*; never one that was sent."""
        reading_ns = self.clock.reading_ns(at_ns)
        rate = stream.feed.fps if stream.feed else NS_PER_S // BLOCK_NS
        unit = max(stream.next_unit, math.floor(reading_ns * rate / NS_PER_S) - 1)
        while self.clock.instant_ns(stream.unit_ns(unit)) < at_ns:
            unit += 1
        stream.next_unit = unit

    def _media_until(self, end_ns: int) -> Iterator[Act]:
        """Units and reports due before *end_ns*, in order."""
        while self.streams:
            stream = min(self.streams, key=self._next_ns)
            if self._next_ns(stream) >= end_ns:
                return
            if stream.report_at_ns <= self._unit_instant_ns(stream):
                yield from self._report(stream)
            else:
                yield self._unit(stream)

    def _next_ns(self, stream: _Stream) -> int:
        return min(stream.report_at_ns, self._unit_instant_ns(stream))

    def _unit_instant_ns(self, stream: _Stream) -> int:
        if stream.muted and stream.feed is not None:
            return _NEVER_NS
        return self.clock.instant_ns(stream.unit_ns(stream.next_unit))

    def _unit(self, stream: _Stream) -> Act:
        unit, at_ns = stream.next_unit, self._unit_instant_ns(stream)
        timestamp = stream.unit_timestamp(unit)
        stream.next_unit += 1
        if stream.feed is not None:
            return VideoDue(at_ns, stream.label, stream.source, stream.feed, unit, timestamp)
        stream.lose(self.actor.sound_lost)
        assert self.voice is not None, "an actor without a voice publishes no microphone"
        voice = _SILENCE if stream.muted else self.voice
        return AudioDue(at_ns, stream.label, voice, unit, timestamp)

    def _report(self, stream: _Stream) -> Iterator[Act]:
        at_ns = stream.report_at_ns
        stream.report_at_ns += _REPORT_INTERVAL_NS
        if not self.reports:
            return
        ntp_ns, rtp_timestamp = report_at(self.clock, at_ns, stream.rtp_start, stream.rate_hz)
        yield ReportDue(at_ns, stream.label, ntp_ns, rtp_timestamp)


def report_at(clock: SenderClock, at_ns: int, rtp_start: int, rate_hz: int) -> tuple[int, int]:
    """Wall clock in ns since 1900 and RTP timestamp of a track at a room instant."""
    reading_ns = clock.reading_ns(at_ns)
    return clock.wall_ns(reading_ns), rtp_start + reading_ns * rate_hz // NS_PER_S


def voices_of(scenario: Scenario, actor: Actor) -> tuple[Voice, ...]:
    """Every sound *actor* will need, the silence of a muted microphone included."""
    if actor.voice is None:
        return ()
    cues = scenario.cues_of(actor.user_id)
    later = [cue.action.voice for cue in cues if isinstance(cue.action, SetVoice)]
    return tuple(dict.fromkeys([actor.voice, *later, _SILENCE]))


def feeds_of(scenario: Scenario, actor: Actor) -> tuple[tuple[Source, VideoFeed], ...]:
    """Every camera and screen *actor* will need."""
    feeds = [] if actor.camera is None else [(Source.CAMERA, actor.camera)]
    feeds += [
        (Source.SCREEN, cue.action.feed)
        for cue in scenario.cues_of(actor.user_id)
        if isinstance(cue.action, ShareScreen)
    ]
    return tuple(dict.fromkeys(feeds))
