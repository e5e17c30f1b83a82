"""Says at every tick what the frame must show: the roster, replayed at the media's own delay.

A join or a share that happened at room time T changes the picture of room time T, not the one
that is being composed while the message arrives.
"""

from collections import deque

from worker.core.layout.geometry import Size
from worker.core.layout.resolve import resolve
from worker.core.layout.scene import Scene
from worker.core.roster import Roster
from worker.core.spec import MixSpec
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    RoomEvent,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)


class _View:
    """The scene as it is after some of the changes."""

    def __init__(self, mix: MixSpec, canvas: Size) -> None:
        self._mix = mix
        self._canvas = canvas
        self._roster = Roster()
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene:
        """The same object for as long as nothing changes."""
        if self._scene is None:
            self._scene = resolve(self._mix, self._roster, self._canvas)
        return self._scene

    def apply(self, change: RoomEvent | MixSpec) -> None:
        self._scene = None
        match change:
            case MixSpec():
                self._mix = change
            case ParticipantJoined(participant):
                self._roster.join(participant)
            case ParticipantLeft(participant_id):
                self._roster.leave(participant_id)
            case TrackPublished(track):
                self._roster.publish(track)
            case TrackEnded(track_id):
                self._roster.unpublish(track_id)
            case TrackMuted(track_id, muted):
                self._roster.mute(track_id, muted)
            case RoomConnected() | RoomDisconnected():
                pass


class Director:
    """Owns the roster of a job. Room times must not go backwards."""

    def __init__(self, mix: MixSpec, canvas: Size) -> None:
        # Not bounded by count: one entry per roster change within the playout delay, and rooms
        # cap participants and tracks.
        self._pending: deque[tuple[int, RoomEvent | MixSpec]] = deque()
        self._arrived = _View(mix, canvas)
        self._shown = _View(mix, canvas)

    @property
    def coming_scene(self) -> Scene:
        """The scene after everything that was scheduled: what is shown a playout delay later."""
        return self._arrived.scene

    def schedule(self, room_ns: int, change: RoomEvent | MixSpec) -> None:
        """Let *change* (a roster event or a new layout) take effect at room time *room_ns*."""
        self._pending.append((room_ns, change))
        self._arrived.apply(change)

    def scene_at(self, room_ns: int) -> Scene:
        """The scene of room time *room_ns*; the same object for as long as nothing changes."""
        while self._pending and self._pending[0][0] <= room_ns:
            self._shown.apply(self._pending.popleft()[1])
        return self._shown.scene
