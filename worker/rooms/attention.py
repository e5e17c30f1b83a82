"""Which of one publisher's videos are looked at; the others may be paused at their source."""

from collections.abc import Mapping

from worker.core.identity import Kind, Track, TrackId
from worker.core.layout.geometry import Size
from worker.ports import EncodedFrame


class Attention:
    """What was said about one publisher's videos. Until something was said, all are wanted.

    A publisher that cannot pause goes on sending. So that this makes no difference, nothing of a
    paused video is let through, and one that is wanted anew begins with a keyframe.
    """

    def __init__(self) -> None:
        self._wanted: Mapping[TrackId, Size] | None = None
        self._videos: frozenset[TrackId] = frozenset()
        self._barred: set[TrackId] = set()
        """Paused, or waiting for a keyframe since."""

    @property
    def wanted(self) -> Mapping[TrackId, Size] | None:
        """The videos that are looked at, with the sizes of their tiles; None: everything is."""
        return self._wanted

    def is_paused(self, track: Track) -> bool:
        """Whether nothing need come of *track*."""
        return (
            track.kind is Kind.VIDEO
            and self._wanted is not None
            and track.track_id not in self._wanted
        )

    def want(self, wanted: Mapping[TrackId, Size] | None) -> bool:
        """Take what is looked at from now on; whether that is something new."""
        if wanted == self._wanted:
            return False
        self._wanted = wanted
        self._bar()
        return True

    def set_tracks(self, tracks: Mapping[TrackId, tuple[Track, bool]]) -> None:
        """Take the publisher's list of tracks."""
        self._videos = frozenset(
            track_id for track_id, (track, _) in tracks.items() if track.kind is Kind.VIDEO
        )
        self._barred &= self._videos
        self._bar()

    def admits(self, frame: EncodedFrame) -> bool:
        """Whether *frame* may be delivered."""
        if frame.track_id not in self._barred:
            return True
        if not frame.keyframe or frame.track_id not in (self._wanted or ()):
            return False
        self._barred.discard(frame.track_id)
        return True

    def awaits_keyframe(self, track_id: TrackId) -> bool:
        """Whether *track_id* is wanted, but held back until it can begin."""
        return track_id in self._barred and track_id in (self._wanted or ())

    def _bar(self) -> None:
        if self._wanted is not None:
            self._barred |= self._videos - self._wanted.keys()
