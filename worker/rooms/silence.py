"""When a publisher that should be heard is not. Pure: it is asked, and told the time."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from worker.core.identity import TrackId
from worker.core.timing import NS_PER_S

SILENT_TRACK_NS = 3 * NS_PER_S
"""The publisher is reminded of a video; a track it never offered is asked for on a new session."""
SILENT_SESSION_NS = 5 * NS_PER_S
DEAD_TRACK_NS = 6 * NS_PER_S
"""One track among others that flow: a camera that froze is reminded before all is redone."""
MAX_LENIENCY = 8
"""A publisher that sends nothing on session after session is asked less and less often."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do about one session."""

    is_dead: bool
    """Something that should come does not: another session may bring it."""
    is_silent: bool = False
    """Nothing at all comes."""
    silent: tuple[TrackId, ...] = ()
    """Tracks whose publisher should be reminded."""


class SilenceWatch:
    """Watches the tracks of one publisher across sessions."""

    def __init__(self) -> None:
        self._since_ns: dict[TrackId, int] = {}
        self._leniency = 1

    def expect(self, track_ids: Iterable[TrackId], now_ns: int) -> None:
        """From now on exactly *track_ids* should be heard: neither muted nor paused.

        Silence counts from then on, so that who was paused for long is not late at once.
        """
        self._since_ns = {track_id: self._since_ns.get(track_id, now_ns) for track_id in track_ids}

    def has_replaced(self) -> None:
        """Another session took over because of a silence; it is given twice the time."""
        self._leniency = min(2 * self._leniency, MAX_LENIENCY)

    def judge(
        self,
        now_ns: int,
        *,
        connected_ns: int,
        carried: Collection[TrackId],
        refused: Collection[TrackId],
        last_packet_ns: Callable[[TrackId], int | None],
    ) -> Judgement:
        """How the session does that is up since *connected_ns*.

        *carried* was agreed on it, *refused* cannot be received from this publisher.
        """
        quiet_ns = {
            track_id: now_ns - max(since_ns, connected_ns, last_packet_ns(track_id) or 0)
            for track_id, since_ns in self._since_ns.items()
            if track_id not in refused
        }
        if not quiet_ns:
            return Judgement(is_dead=False)
        is_silent = min(quiet_ns.values()) > self._leniency * SILENT_SESSION_NS
        is_dead = (
            is_silent
            or max(quiet_ns.values()) > self._leniency * DEAD_TRACK_NS
            # Missing from every offer: one was lost together with a signalling connection.
            or any(
                silent_ns > self._leniency * SILENT_TRACK_NS
                for track_id, silent_ns in quiet_ns.items()
                if track_id not in carried
            )
        )
        silent = tuple(
            track_id
            for track_id, silent_ns in quiet_ns.items()
            if silent_ns > SILENT_TRACK_NS and track_id in carried
        )
        if not silent and now_ns - connected_ns > self._leniency * DEAD_TRACK_NS:
            self._leniency = 1
        return Judgement(is_dead, is_silent, silent)
