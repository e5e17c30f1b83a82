"""Counters of every track of a room, until they have been read for the last time."""

from collections import OrderedDict

from worker.core.identity import TrackId
from worker.ports import TrackStatistics

MAX_TRACKS = 10_000


class RoomStatistics(OrderedDict[TrackId, TrackStatistics]):
    """Counters by track; of more than 10,000 tracks the oldest are forgotten."""

    def __setitem__(self, track_id: TrackId, statistics: TrackStatistics) -> None:
        super().__setitem__(track_id, statistics)
        while len(self) > MAX_TRACKS:
            self.popitem(last=False)
