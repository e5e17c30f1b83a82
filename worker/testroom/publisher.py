"""Synthetic participants in a real test room: every actor of a scenario performs for whoever
subscribes, over WebRTC, on the real clock."""

import asyncio
import logging
from collections.abc import Callable

from worker.core.identity import Kind
from worker.core.timing import NS_PER_S, SAMPLE_RATE_HZ
from worker.errors import RoomRefused
from worker.rooms.ice import IceSettings
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
from worker.testroom.camera import camera_for
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.performance import VIDEO_CLOCK_HZ, perform, report_at
from worker.testroom.presence import Presence, Venue
from worker.testroom.scenario import Actor, Scenario
from worker.testroom.sender_clock import SenderClock
from worker.testroom.subscription import LocalTrack

log = logging.getLogger(__name__)


async def run_cast(
    scenario: Scenario,
    *,
    url: str,
    room_id: str,
    on_ready: Callable[[], None] = lambda: None,
    library: LoopLibrary | None = None,
    ice: IceSettings | None = None,
    presence: Callable[..., Presence] = Presence,
) -> None:
    """Let the actors of *scenario* perform in the room *room_id* of the server at *url* (ws://…).

    Media is encoded first, if it is not in the cache; the scenario's time starts then. *on_ready*
    is called once everybody who joins at the start is in. Runs until cancelled: who is still
    there at the end of the script goes on sending. *presence* makes the stay of an actor, for
    rooms of another kind. Raises `RoomRefused`.
    """
    library = library or LoopLibrary.of_user()
    venue = Venue(url, room_id, ice or IceSettings.for_signalling(url))
    await asyncio.to_thread(library.prepare, scenario)
    start_ns = _now_ns()
    performers = [Performer(scenario, actor, library, venue, presence) for actor in scenario.actors]
    refusal: BaseException
    try:
        async with asyncio.TaskGroup() as group:
            for performer in performers:
                group.create_task(performer.run(start_ns), name=f"actor:{performer.actor.user_id}")
            for performer in performers:
                if performer.actor.join_s == 0:
                    await performer.joined.wait()
            on_ready()
        return
    except* RoomRefused as refusals:
        refusal = _first(refusals)
    raise refusal


class Performer:
    """One actor in a room: turns the acts of the script into signalling and packets."""

    def __init__(
        self,
        scenario: Scenario,
        actor: Actor,
        library: LoopLibrary,
        venue: Venue,
        make_presence: Callable[..., Presence] = Presence,
    ) -> None:
        self.actor = actor
        self.joined = asyncio.Event()
        """Set once the actor has been in the room."""
        self._scenario = scenario
        self._library = library
        self._venue = venue
        self._make_presence = make_presence
        self._clock = SenderClock.of(actor, scenario.seed)
        self._faults = actor.network
        self._reports = actor.sender_reports
        self._presence: Presence | None = None
        self._staying: asyncio.Task[None] | None = None
        self._start_ns = 0
        self._published = 0
        self._rtp_starts: dict[str, int] = {}
        """By label: the RTP timestamp at which the actor's clock reads zero."""

    async def run(self, start_ns: int) -> None:
        """Perform from *start_ns* of the event loop's time on; cancelling leaves the room."""
        self._start_ns = start_ns
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for act in perform(self._scenario, self.actor):
                wait_s = (start_ns + act.at_ns) / NS_PER_S - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                match act:
                    case Joined(presence=presence):
                        self._join(presence, group)
                    case Left():
                        self._leave()
                    case _:
                        self._act(act)
            await asyncio.Event().wait()

    def _join(self, presence: int, group: asyncio.TaskGroup) -> None:
        user_id = self.actor.user_id
        self._presence = self._make_presence(
            venue=self._venue,
            user_id=user_id,
            name=self.actor.person.name,
            seed=f"{self._scenario.seed}/{user_id}/{presence}",
            faults=self._faults,
            start_ns=self._start_ns,
            on_joined=self.joined.set,
        )
        self._published = 0
        self._staying = group.create_task(self._presence.run(), name=f"presence:{user_id}")

    def _leave(self) -> None:
        if self._staying is not None:
            self._staying.cancel()
        self._presence = self._staying = None

    def _act(self, act: Act) -> None:
        presence = self._presence
        match act:
            case NetworkChanged(faults=faults):
                self._faults = faults
                if presence is not None:
                    presence.set_faults(faults)
            case ReportsSwitched(enabled=enabled):
                self._reports = enabled
            case _ if presence is None:
                raise AssertionError(f"an act of somebody who is not there: {act}")
            case VideoDue():
                self._send_video(presence, act)
            case AudioDue():
                self._send_audio(presence, act)
            case ReportDue(label=label, ntp_ns=ntp_ns, rtp_timestamp=rtp_timestamp):
                for subscription in presence.subscriptions:
                    subscription.send_report(label, ntp_ns, rtp_timestamp)
            case Published():
                self._publish(presence, act)
            case Ended(label=label):
                presence.end(label)
            case MuteChanged(label=label, muted=muted):
                presence.set_muted(label, muted=muted)

    def _publish(self, presence: Presence, act: Published) -> None:
        feed, camera = act.feed, None
        self._rtp_starts[act.label] = act.rtp_start
        if feed is not None:
            loop_s = self._scenario.loop_s
            picture = picture_of(self.actor.person, act.source, feed, loop_s)
            camera = camera_for(picture, feed, self._library)

        def report_now() -> tuple[int, int] | None:
            if not self._reports:
                return None
            rate_hz = SAMPLE_RATE_HZ if feed is None else VIDEO_CLOCK_HZ
            rtp_start = self._rtp_starts[act.label]
            return report_at(self._clock, _now_ns() - self._start_ns, rtp_start, rate_hz)

        track = LocalTrack(
            label=act.label,
            mid=str(self._published),
            kind=Kind.AUDIO if feed is None else Kind.VIDEO,
            feed=feed,
            camera=camera,
            rtx=self.actor.rtx,
            dtx=self.actor.dtx,
            red=self.actor.red,
            report_now=report_now,
        )
        self._published += 1
        presence.publish(track, act.source, muted=act.muted)

    def _send_video(self, presence: Presence, act: VideoDue) -> None:
        camera = presence.track(act.label).camera
        assert camera is not None
        viewers = [each for each in presence.subscriptions if each.is_wanted(act.label)]
        if not viewers:
            return  # a camera nobody looks at is not even read
        unit = camera.unit(act.frame)
        if unit is not None:
            for subscription in viewers:
                subscription.send_video(act.label, unit, act.rtp_timestamp)

    def _send_audio(self, presence: Presence, act: AudioDue) -> None:
        self._rtp_starts[act.label] = act.rtp_start
        if not presence.subscriptions:
            return
        loop = self._library.audio(act.voice, self.actor.person, self._scenario.loop_s)
        unit = loop[act.block % len(loop)]
        for subscription in presence.subscriptions:
            subscription.send_audio(act.label, unit, act.rtp_timestamp)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception in a group of groups."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * NS_PER_S)
