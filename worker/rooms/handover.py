"""From one session to its successor, track by track, so that nothing is missing in between."""

import asyncio
from collections.abc import Collection

from worker.core.identity import TrackId
from worker.rooms.session import MediaSession

OVERLAP_S = 2.0
"""How long a replaced session may wait for its successor's first frames."""
EPOCHS_BETWEEN = 16
"""Left to a session that goes on beside its successor."""


class Handover:
    """Whose frames are delivered, of each track: those of the newest session that brought any."""

    def __init__(self) -> None:
        self._newest: MediaSession | None = None
        """The last one that connected."""
        self._sources: dict[TrackId, MediaSession] = {}
        self._to_switch: set[TrackId] = set()
        self._has_switched = asyncio.Event()

    def connected(self, session: MediaSession) -> int:
        """*session* has connected; the first epoch it may use."""
        before, self._newest = self._newest, session
        return before.next_epoch + EPOCHS_BETWEEN if before is not None else 0

    def source(self, track_id: TrackId) -> MediaSession | None:
        """Who brings *track_id*, or would."""
        return self._sources.get(track_id, self._newest)

    def brings(self, session: MediaSession, track_id: TrackId) -> bool:
        """Whether *session* is the one whose *track_id* is delivered."""
        return self._sources.get(track_id) is session

    def take(self, session: MediaSession, track_id: TrackId) -> bool:
        """*session* has a frame of *track_id*; whether it shall be delivered."""
        if self._sources.get(track_id) is session:
            return True
        if session is not self._newest:
            return False
        self._sources[track_id] = session
        self._to_switch.discard(track_id)
        if not self._to_switch:
            self._has_switched.set()
        return True

    def keep(self, track_ids: Collection[TrackId]) -> None:
        """Forget all other tracks."""
        for track_id in self._sources.keys() - track_ids:
            del self._sources[track_id]

    async def finish(self, former: MediaSession) -> None:
        """Wait until the successor of *former* has brought a frame of every track, or for 2 s.

        Nobody waits for one that is over: there is nothing more to come from it.
        """
        self._to_switch = {
            track_id for track_id, source in self._sources.items() if source is former
        }
        self._has_switched.clear()
        if not self._to_switch or former.is_over:
            return
        try:
            async with asyncio.timeout(OVERLAP_S):
                await self._has_switched.wait()
        except TimeoutError:
            pass  # a camera that shows nothing new, or whose keyframe is late
