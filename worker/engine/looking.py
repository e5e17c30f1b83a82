"""Keeps the room told which videos are about to be seen."""

from collections.abc import Mapping

from worker.core.demand import Demand
from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.layout.visible import visible_videos
from worker.engine.director import Director
from worker.engine.intake import Intake
from worker.ports import Room


class Looking:
    """Asks for a video when the event arrives by which it will be seen, a playout delay ahead.

    Without a director nothing is ever looked at.
    """

    def __init__(
        self, *, director: Director | None, intake: Intake, room: Room, demand: Demand
    ) -> None:
        self._director = director
        self._intake = intake
        self._room = room
        self._demand = demand
        self._wanted: Mapping[TrackId, Size] = {}

    def follow(self, now_ns: int) -> None:
        """To be called with every event, and now and then: what is unseen is given up later."""
        videos = {} if self._director is None else visible_videos(self._director.coming_scene)
        wanted = self._demand.look(videos, now_ns, without=self._intake.muted())
        if wanted is None:
            return
        for track_id in wanted.keys() - self._wanted.keys():
            self._intake.expect(track_id)
        self._wanted = wanted
        self._room.want_video(wanted)
