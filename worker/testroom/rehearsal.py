"""A room that exists only inside the worker: actors' frames go straight to the listener.

No network, and all waiting on the clock it is given: on a virtual clock a job runs at full speed
and comes out the same every time. What a receive engine would make of a bad network is modelled
by `rehearsal_receiver`.
"""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.core.identity import Codec, Kind, Participant, ParticipantId, Track, TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.ports import (
    Clock,
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomListener,
    SenderReport,
    TrackEnded,
    TrackMuted,
    TrackPublished,
    TrackStatistics,
)
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
from worker.testroom.camera import Camera, camera_for
from worker.testroom.faults import Impairment
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.performance import perform
from worker.testroom.rehearsal_receiver import AudioReceiver, VideoReceiver
from worker.testroom.scenario import Actor, Scenario

_REQUEST_INTERVAL_NS = NS_PER_S


@dataclass(slots=True)
class _Agenda:
    """What is to happen when, in order; what was added first goes first."""

    _entries: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _added: int = 0

    def add(self, at_ns: int, call: Callable[[], None]) -> None:
        heapq.heappush(self._entries, (at_ns, self._added, call))
        self._added += 1

    def next_ns(self) -> int | None:
        return self._entries[0][0] if self._entries else None

    def do_next(self) -> None:
        heapq.heappop(self._entries)[2]()


class RehearsalRoom:
    """`ports.Room` over *scenario*, which starts once `run` has its media ready.

    `library` None takes the user's. One run per object.
    """

    def __init__(
        self, scenario: Scenario, clock: Clock, library: LoopLibrary | None = None
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._library = library or LoopLibrary.of_user()
        self._tracks: dict[TrackId, _TrackOnAir] = {}

    async def run(self, listener: RoomListener) -> None:
        """Play the scenario into *listener* until cancelled; media is built on a thread first."""
        await asyncio.to_thread(self._library.prepare, self._scenario)
        start_ns = self._clock.now_ns()
        agenda = _Agenda()
        listener.on_event(RoomConnected())
        for actor in self._scenario.actors:
            stage = _Stage(
                self._scenario, actor, self._library, self._tracks, agenda, listener, start_ns
            )
            stage.open()
        while (next_ns := agenda.next_ns()) is not None:
            if next_ns > self._clock.now_ns():
                await self._clock.sleep_until_ns(next_ns)
            else:  # behind, or several things at one instant: let the others in
                await asyncio.sleep(0)
            agenda.do_next()
        await asyncio.Event().wait()

    def request_keyframe(self, track_id: TrackId) -> None:
        """Passed on to the actor, at most once a second per track."""
        track = self._tracks.get(track_id)
        if track is not None:
            track.request_keyframe(self._clock.now_ns())

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        """Counters of the modelled receiver, ended tracks included."""
        return {track_id: track.statistics for track_id, track in self._tracks.items()}


@dataclass(slots=True)
class _TrackOnAir:
    """A track that was published, with the model of its receiver."""

    track: Track
    codec: Codec
    size: Size | None
    camera: Camera | None
    receiver: AudioReceiver | VideoReceiver
    last_request_ns: int | None = None

    @property
    def statistics(self) -> TrackStatistics:
        return self.receiver.statistics

    def request_keyframe(self, now_ns: int) -> None:
        last_ns = self.last_request_ns
        if self.camera is None or (last_ns is not None and now_ns - last_ns < _REQUEST_INTERVAL_NS):
            return
        self.last_request_ns = now_ns
        self.statistics.keyframe_requests += 1
        self.camera.request_keyframe()


@dataclass(slots=True)
class _Stage:
    """One actor's performance, its network and the tracks that are on air."""

    scenario: Scenario
    actor: Actor
    library: LoopLibrary
    tracks: dict[TrackId, _TrackOnAir]
    agenda: _Agenda
    listener: RoomListener
    start_ns: int
    path: Impairment = field(init=False)
    participant_id: ParticipantId = field(init=False, default=ParticipantId(""))
    on_air: dict[str, _TrackOnAir] = field(init=False, default_factory=dict)

    def open(self) -> None:
        """Put the actor's first act on the agenda; every act puts the next one there."""
        seed = f"{self.scenario.seed}/{self.actor.user_id}/network"
        self.path = Impairment(self.actor.network, seed, start_ns=0)
        acts = perform(self.scenario, self.actor)

        def act_and_continue(act: Act) -> None:
            self._act(act)
            schedule_next()

        def schedule_next() -> None:
            act = next(acts, None)
            if act is not None:
                self.agenda.add(self.start_ns + act.at_ns, lambda: act_and_continue(act))

        schedule_next()

    def _act(self, act: Act) -> None:
        match act:
            case VideoDue():
                self._send_video(act)
            case AudioDue():
                self._send_audio(act)
            case ReportDue():
                self._send_report(act)
            case Joined(presence=presence):
                self._join(presence)
            case Left():
                self.on_air.clear()
                self.listener.on_event(ParticipantLeft(self.participant_id))
            case Published():
                self._publish(act)
            case Ended(label=label):
                track = self.on_air.pop(label).track
                self.listener.on_event(TrackEnded(track.track_id))
            case MuteChanged(label=label, muted=muted):
                track = self.on_air[label].track
                self.listener.on_event(TrackMuted(track.track_id, muted))
            case NetworkChanged(faults=faults):
                self.path.faults = faults
            case ReportsSwitched():
                pass  # the reports come, or do not come, as acts of their own

    def _join(self, presence: int) -> None:
        self.participant_id = ParticipantId(f"{self.actor.user_id}#{presence}")
        self.listener.on_event(
            ParticipantJoined(
                Participant(self.participant_id, self.actor.user_id, self.actor.person.name)
            )
        )

    def _publish(self, act: Published) -> None:
        track = Track(
            track_id=TrackId(f"{self.participant_id}/{act.label}"),
            participant_id=self.participant_id,
            kind=Kind.VIDEO if act.feed else Kind.AUDIO,
            source=act.source,
        )
        if act.feed is None:
            on_air = _TrackOnAir(track, Codec.OPUS, None, None, AudioReceiver())
        else:
            picture = picture_of(self.actor.person, act.source, act.feed, self.scenario.loop_s)
            camera = camera_for(picture, act.feed, self.library)
            on_air = _TrackOnAir(track, act.feed.codec, act.feed.size, camera, VideoReceiver())
        self.tracks[track.track_id] = on_air
        self.on_air[act.label] = on_air
        self.listener.on_event(TrackPublished(track))
        if act.muted:
            self.listener.on_event(TrackMuted(track.track_id, muted=True))

    def _send_video(self, act: VideoDue) -> None:
        on_air = self.on_air[act.label]
        camera, receiver = on_air.camera, on_air.receiver
        assert camera is not None
        assert isinstance(receiver, VideoReceiver)
        if receiver.wants_keyframe(act.at_ns):
            camera.request_keyframe()
        unit = camera.unit(act.frame)
        if unit is None:
            return
        arrival_ns = receiver.receive(len(unit.data), act.at_ns, self.path, keyframe=unit.keyframe)
        self._deliver(on_air, act.label, unit, act.rtp_timestamp, arrival_ns)

    def _send_audio(self, act: AudioDue) -> None:
        on_air = self.on_air[act.label]
        loop = self.library.audio(act.voice, self.actor.person, self.scenario.loop_s)
        assert isinstance(on_air.receiver, AudioReceiver)
        arrival_ns = on_air.receiver.receive(self.path.arrivals(act.at_ns))
        unit = loop[act.block % len(loop)]
        self._deliver(on_air, act.label, unit, act.rtp_timestamp, arrival_ns)

    def _deliver(
        self,
        on_air: _TrackOnAir,
        label: str,
        unit: LoopUnit,
        rtp_timestamp: int,
        arrival_ns: int | None,
    ) -> None:
        """Put the frame on the agenda; it is dropped when its track has ended by then."""
        if arrival_ns is None:
            return
        is_audio = on_air.codec is Codec.OPUS
        frame = EncodedFrame(
            track_id=on_air.track.track_id,
            codec=on_air.codec,
            epoch=0,
            rtp_timestamp=rtp_timestamp,
            arrival_ns=self.start_ns + arrival_ns,
            keyframe=unit.keyframe,
            data=unit.data,
            size=on_air.size if unit.keyframe else None,
            level_dbov=unit.level_dbov if is_audio else None,
        )

        def arrive() -> None:
            if self.on_air.get(label) is on_air:
                self.listener.on_frame(frame)

        self.agenda.add(frame.arrival_ns, arrive)

    def _send_report(self, act: ReportDue) -> None:
        on_air = self.on_air[act.label]
        arrivals = self.path.arrivals(act.at_ns)
        if not arrivals:
            return
        report = SenderReport(
            track_id=on_air.track.track_id,
            epoch=0,
            ntp_ns=act.ntp_ns,
            rtp_timestamp=act.rtp_timestamp,
            arrival_ns=self.start_ns + arrivals[0],
        )

        def arrive() -> None:
            if self.on_air.get(act.label) is on_air:
                self.listener.on_sender_report(report)

        self.agenda.add(report.arrival_ns, arrive)
