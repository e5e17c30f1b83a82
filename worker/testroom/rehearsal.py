"""A room that exists only inside the worker: actors' frames go straight to the listener.

No network, and all waiting on the clock it is given: on a virtual clock a job runs at full speed
and comes out the same every time. Actors with a bad network send packets over a model of it, into
the real receive engine.
"""

import asyncio
from collections.abc import Mapping

from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.ports import Clock, RoomConnected, RoomListener, TrackStatistics
from worker.rooms.receive.patience import Patience
from worker.testroom.agenda import Agenda
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.rehearsal_stage import Stage
from worker.testroom.scenario import Scenario


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
        self._stages: list[Stage] = []
        self._statistics: dict[TrackId, TrackStatistics] = {}
        self._patience = Patience()
        self._wanted: frozenset[TrackId] | None = None

    async def run(self, listener: RoomListener) -> None:
        """Play the scenario into *listener* until cancelled; media is built on a thread first."""
        await asyncio.to_thread(self._library.prepare, self._scenario)
        start_ns = self._clock.now_ns()
        agenda = Agenda()
        listener.on_event(RoomConnected())
        for actor in self._scenario.actors:
            stage = Stage(
                self._scenario,
                actor,
                library=self._library,
                agenda=agenda,
                listener=listener,
                start_ns=start_ns,
                statistics=self._statistics,
                patience=self._patience,
                is_wanted=self._is_wanted,
            )
            self._stages.append(stage)
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
        for stage in self._stages:
            stage.request_keyframe(track_id, self._clock.now_ns())

    def want_video(self, wanted: Mapping[TrackId, Size]) -> None:
        """The other videos are sent no more; a camera that goes on begins with a keyframe."""
        self._wanted = frozenset(wanted)

    def rest_sound(self, resting: frozenset[TrackId]) -> None:
        """All goes on: nothing is decrypted here."""

    def datagrams_dropped(self) -> int:
        """None: there is no socket."""
        return 0

    def wanted_delay_ns(self) -> int:
        """Playout delay with which lost pictures could be repaired."""
        return self._patience.wanted_delay_ns

    def set_patience(self, *, video_ns: int, audio_ns: int) -> None:
        """Missing packets of all actors are waited for this long."""
        self._patience.set_limits(video_ns=video_ns, audio_ns=audio_ns)

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        """Counters of every track, but for those forgotten."""
        return self._statistics

    def forget(self, track_id: TrackId) -> None:
        """Keep nothing of a track that has ended."""
        self._statistics.pop(track_id, None)

    def _is_wanted(self, track_id: TrackId) -> bool:
        return self._wanted is None or track_id in self._wanted
