"""Where the frames of a camera or screen come from: a replayed loop, or an encoder running live.

Both hand out a stream that a decoder can follow: after a pause nothing until a keyframe.
"""

from typing import Protocol

from worker.media.loops import LiveVideoEncoder
from worker.testroom.loop_cache import Loop, LoopUnit
from worker.testroom.loop_media import LoopLibrary, settings_of
from worker.testroom.painter import Painter, Picture
from worker.testroom.scenario import VideoFeed


class Camera(Protocol):
    """Frames by their number on the actor's clock; ask for each at most once, in order."""

    def unit(self, frame: int) -> LoopUnit | None:
        """What to send for *frame*; None while the stream waits for a keyframe."""
        ...

    def request_keyframe(self) -> None:
        """Send a keyframe as soon as this camera can."""
        ...


class LoopedCamera:
    """Replays *loop*; a keyframe request is answered by the next keyframe in it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._expected: int | None = None

    def unit(self, frame: int) -> LoopUnit | None:
        unit = self._loop[frame % len(self._loop)]
        if not unit.keyframe and frame != self._expected:
            return None
        self._expected = frame + 1
        return unit

    def request_keyframe(self) -> None:
        """Nothing to do: the loop has a keyframe every second."""


class LiveCamera:
    """Paints and encodes each frame when it is due; answers a keyframe request with the next."""

    def __init__(self, picture: Picture, feed: VideoFeed) -> None:
        self._painter = Painter(picture)
        self._encoder = LiveVideoEncoder(settings_of(feed))
        self._expected: int | None = None
        self._wants_keyframe = False

    def unit(self, frame: int) -> LoopUnit | None:
        keyframe = self._wants_keyframe or frame != self._expected
        encoded = self._encoder.encode(self._painter.paint(frame), keyframe=keyframe)
        self._wants_keyframe = False
        self._expected = frame + 1
        return LoopUnit(encoded.data, encoded.keyframe)

    def request_keyframe(self) -> None:
        self._wants_keyframe = True


def camera_for(picture: Picture, feed: VideoFeed, library: LoopLibrary) -> Camera:
    """The camera or screen that sends *picture* as *feed* says."""
    if feed.live:
        return LiveCamera(picture, feed)
    return LoopedCamera(library.video(picture, feed))
