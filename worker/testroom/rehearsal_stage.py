"""One actor in a rehearsal: the script becomes events and frames of the room."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from worker.core.identity import Codec, Kind, Participant, ParticipantId, Track, TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    RoomListener,
    SenderReport,
    TrackEnded,
    TrackMuted,
    TrackPublished,
    TrackStatistics,
)
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.receiver import PeerReceiver
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
from worker.testroom.agenda import Agenda
from worker.testroom.camera import Camera, camera_for
from worker.testroom.faults import Impairment, NetworkFaults
from worker.testroom.loop_cache import LoopUnit
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.performance import perform
from worker.testroom.rehearsal_receiver import Reception
from worker.testroom.scenario import Actor, Scenario, SetNetwork

_REQUEST_INTERVAL_NS = NS_PER_S
_PACKET_BYTES = 1150
"""What a packet would have carried of a frame, for the counters."""


@dataclass(slots=True)
class _TrackOnAir:
    """A track that was published."""

    track: Track
    codec: Codec
    size: Size | None
    camera: Camera | None
    statistics: TrackStatistics
    last_request_ns: int | None = None


class Stage:
    """One actor's performance, its network and the tracks that are on air."""

    def __init__(
        self,
        scenario: Scenario,
        actor: Actor,
        *,
        library: LoopLibrary,
        agenda: Agenda,
        listener: RoomListener,
        start_ns: int,
        statistics: MutableMapping[TrackId, TrackStatistics],
        patience: Patience,
        is_wanted: Callable[[TrackId], bool],
    ) -> None:
        """*statistics* and *patience* are the room's; the script begins at *start_ns*."""
        self._scenario = scenario
        self._actor = actor
        self._library = library
        self._agenda = agenda
        self._listener = listener
        self._start_ns = start_ns
        self._statistics = statistics
        self._patience = patience
        self._is_wanted = is_wanted
        self._acts = perform(scenario, actor)
        self._participant_id = ParticipantId("")
        self._on_air: dict[str, _TrackOnAir] = {}
        has_network = actor.network != NetworkFaults() or any(
            isinstance(cue.action, SetNetwork) for cue in scenario.cues_of(actor.user_id)
        )
        self._sends_packets = has_network or actor.dtx
        seed = f"{scenario.seed}/{actor.user_id}/network"
        self._way = Impairment(actor.network, seed, start_ns=0)
        self._way_back = Impairment(actor.network, f"{seed}/back", start_ns=0)
        self._reception: Reception | None = None
        """Only of actors with a network that is bad at some time, or that leave out packets."""

    def open(self) -> None:
        """Put the actor's first act on the agenda; every act puts the next one there."""
        act = next(self._acts, None)
        if act is not None:
            self._agenda.add(self._start_ns + act.at_ns, lambda: self._act_and_continue(act))

    def request_keyframe(self, track_id: TrackId, now_ns: int) -> None:
        """Pass a request of the room's user on, if the track is this actor's."""
        for on_air in self._on_air.values():
            if on_air.track.track_id != track_id or on_air.camera is None:
                continue
            if self._reception is not None:
                self._reception.request_keyframe(track_id)
                continue
            last_ns = on_air.last_request_ns
            if last_ns is None or now_ns - last_ns >= _REQUEST_INTERVAL_NS:
                on_air.last_request_ns = now_ns
                on_air.statistics.keyframe_requests += 1
                on_air.camera.request_keyframe()

    def _act_and_continue(self, act: Act) -> None:
        self._act(act)
        self.open()

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
                self._leave()
            case Published():
                self._publish(act)
            case Ended(label=label):
                self._end(act, label)
            case MuteChanged(label=label, muted=muted):
                track = self._on_air[label].track
                self._listener.on_event(TrackMuted(track.track_id, muted))
            case NetworkChanged(faults=faults):
                self._way.faults = self._way_back.faults = faults
            case ReportsSwitched():
                pass  # the reports come, or do not come, as acts of their own

    def _join(self, presence: int) -> None:
        self._participant_id = ParticipantId(f"{self._actor.user_id}#{presence}")
        self._listener.on_event(
            ParticipantJoined(
                Participant(self._participant_id, self._actor.user_id, self._actor.person.name)
            )
        )
        if self._sends_packets:
            self._reception = Reception(
                self._actor,
                PeerReceiver(
                    ssrc=presence,
                    on_frame=self._listener.on_frame,
                    on_sender_report=self._listener.on_sender_report,
                    statistics=self._statistics,
                    patience=self._patience,
                ),
                way=self._way,
                way_back=self._way_back,
                start_ns=self._start_ns,
                seed=f"{self._scenario.seed}/{self._participant_id}/packets",
                at=self._agenda.add,
            )

    def _leave(self) -> None:
        self._on_air.clear()
        if self._reception is not None:
            self._reception.close()
            self._reception = None
        self._listener.on_event(ParticipantLeft(self._participant_id))

    def _publish(self, act: Published) -> None:
        track = Track(
            track_id=TrackId(f"{self._participant_id}/{act.label}"),
            participant_id=self._participant_id,
            kind=Kind.VIDEO if act.feed else Kind.AUDIO,
            source=act.source,
        )
        statistics = self._statistics.setdefault(track.track_id, TrackStatistics())
        if act.feed is None:
            on_air = _TrackOnAir(track, Codec.OPUS, None, None, statistics)
        else:
            picture = picture_of(self._actor.person, act.source, act.feed, self._scenario.loop_s)
            camera = camera_for(picture, act.feed, self._library)
            on_air = _TrackOnAir(track, act.feed.codec, act.feed.size, camera, statistics)
        self._on_air[act.label] = on_air
        self._listener.on_event(TrackPublished(track))
        if act.muted:
            self._listener.on_event(TrackMuted(track.track_id, muted=True))
        if self._reception is not None:
            self._reception.publish(
                act.label, track.track_id, on_air.codec, on_air.camera, self._start_ns + act.at_ns
            )

    def _end(self, act: Ended, label: str) -> None:
        track = self._on_air.pop(label).track
        if self._reception is not None:
            self._reception.end(label, self._start_ns + act.at_ns)
        self._listener.on_event(TrackEnded(track.track_id))

    def _send_video(self, act: VideoDue) -> None:
        on_air = self._on_air[act.label]
        if not self._is_wanted(on_air.track.track_id):
            return
        assert on_air.camera is not None
        unit = on_air.camera.unit(act.frame)
        if unit is None:
            return
        at_ns = self._start_ns + act.at_ns
        if self._reception is not None:
            self._reception.send_video(act.label, unit, act.rtp_timestamp, at_ns)
        else:
            self._deliver(on_air, unit, act.rtp_timestamp, at_ns)

    def _send_audio(self, act: AudioDue) -> None:
        on_air = self._on_air[act.label]
        loop = self._library.audio(act.voice, self._actor.person, self._scenario.loop_s)
        unit = loop[act.block % len(loop)]
        at_ns = self._start_ns + act.at_ns
        if self._reception is not None:
            self._reception.send_audio(act.label, unit, act.rtp_timestamp, at_ns)
        else:
            self._deliver(on_air, unit, act.rtp_timestamp, at_ns)

    def _deliver(self, on_air: _TrackOnAir, unit: LoopUnit, rtp_timestamp: int, at_ns: int) -> None:
        on_air.statistics.packets_received += -(-len(unit.data) // _PACKET_BYTES)
        on_air.statistics.frames_received += 1
        self._listener.on_frame(
            EncodedFrame(
                track_id=on_air.track.track_id,
                codec=on_air.codec,
                epoch=0,
                rtp_timestamp=rtp_timestamp,
                arrival_ns=at_ns,
                keyframe=unit.keyframe,
                data=unit.data,
                size=on_air.size if unit.keyframe else None,
                level_dbov=unit.level_dbov if on_air.codec is Codec.OPUS else None,
            )
        )

    def _send_report(self, act: ReportDue) -> None:
        at_ns = self._start_ns + act.at_ns
        if self._reception is not None:
            self._reception.send_report(act.label, act.ntp_ns, act.rtp_timestamp, at_ns)
            return
        self._listener.on_sender_report(
            SenderReport(
                track_id=self._on_air[act.label].track.track_id,
                epoch=0,
                ntp_ns=act.ntp_ns,
                rtp_timestamp=act.rtp_timestamp,
                arrival_ns=at_ns,
            )
        )
