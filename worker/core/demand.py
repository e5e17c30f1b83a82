"""Which videos to ask the room for: at once when they are about to be seen, longer than needed."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.layout.visible import larger
from worker.core.timing import NS_PER_S

LINGER_NS = 5 * NS_PER_S
"""Nobody looks at a video for this long before it is given up, so that a tile that comes and goes
costs no keyframes."""


@dataclass(slots=True)
class _Wish:
    """What was asked for, and what would be enough since when."""

    size: Size
    enough: Size | None
    since_ns: int


class Demand:
    """Follows what is about to be seen; growth counts at once, the rest after *linger_ns*.

    *linger_ns* must be longer than the playout delay: what is not looked at any more in the room
    is still being shown for that long.
    """

    def __init__(self, linger_ns: int) -> None:
        self._linger_ns = linger_ns
        self._wishes: dict[TrackId, _Wish] = {}
        self._told: dict[TrackId, Size] | None = None

    def look(
        self, videos: Mapping[TrackId, Size], now_ns: int, *, without: frozenset[TrackId]
    ) -> dict[TrackId, Size] | None:
        """What the room must be told at *now_ns*, complete; None when it knows already.

        *videos* is what is about to be seen. Tracks in *without* are given up at once, seen or
        not. The first call always answers.
        """
        for track_id, size in videos.items():
            self._wishes.setdefault(track_id, _Wish(size, size, now_ns))
        for track_id, wish in list(self._wishes.items()):
            seen = videos.get(track_id)
            if track_id in without or self._is_over(wish, seen, now_ns):
                del self._wishes[track_id]
        wanted = {track_id: wish.size for track_id, wish in self._wishes.items()}
        if wanted == self._told:
            return None
        self._told = wanted
        return wanted

    def _is_over(self, wish: _Wish, seen: Size | None, now_ns: int) -> bool:
        """Bring *wish* up to date; whether nothing is left of it."""
        if seen != wish.enough:
            wish.enough, wish.since_ns = seen, now_ns
        if seen is not None and larger(wish.size, seen) == seen:
            wish.size = seen
        if now_ns - wish.since_ns < self._linger_ns:
            return False
        if seen is None:
            return True
        wish.size = seen
        return False
