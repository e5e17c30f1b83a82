"""A room played from a list: at so many seconds this happens."""

import asyncio
from collections.abc import Mapping, Sequence

from worker.core.identity import (
    Codec,
    Kind,
    Participant,
    ParticipantId,
    Source,
    Track,
    TrackId,
    UserId,
)
from worker.core.layout.geometry import Size
from worker.errors import RoomError
from worker.ports import (
    Clock,
    EncodedFrame,
    RoomConnected,
    RoomEvent,
    RoomListener,
    TrackStatistics,
)

Happening = RoomEvent | EncodedFrame | RoomError


class FakeRoom:
    """Connects at 0 s unless `connects` is False; `script` is (seconds, what), in order."""

    def __init__(
        self,
        clock: Clock,
        script: Sequence[tuple[float, Happening]] = (),
        *,
        connects: bool = True,
    ) -> None:
        self._clock = clock
        self._script = script
        self._connects = connects
        self.keyframe_requests: list[TrackId] = []
        self.wanted_videos: list[Mapping[TrackId, Size]] = []
        self.resting: list[frozenset[TrackId]] = []
        self.was_left = False
        self.wants_delay_ns = 0
        self.patience_ns = (0, 0)

    async def run(self, listener: RoomListener) -> None:
        try:
            if self._connects:
                listener.on_event(RoomConnected())
            for at_s, what in self._script:
                await self._clock.sleep_until_ns(round(at_s * 1e9))
                if isinstance(what, RoomError):
                    raise what
                if isinstance(what, EncodedFrame):
                    listener.on_frame(what)
                else:
                    listener.on_event(what)
            await asyncio.Event().wait()
        finally:
            self.was_left = True

    def request_keyframe(self, track_id: TrackId) -> None:
        self.keyframe_requests.append(track_id)

    def want_video(self, wanted: Mapping[TrackId, Size]) -> None:
        self.wanted_videos.append(dict(wanted))

    def rest_sound(self, resting: frozenset[TrackId]) -> None:
        self.resting.append(resting)

    def wanted_delay_ns(self) -> int:
        return self.wants_delay_ns

    def set_patience(self, *, video_ns: int, audio_ns: int) -> None:
        self.patience_ns = (video_ns, audio_ns)

    def datagrams_dropped(self) -> int:
        return 0

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        return {}

    def forget(self, track_id: TrackId) -> None:
        pass


def person(name: str) -> Participant:
    return Participant(ParticipantId(f"p-{name}"), UserId(name), name.title())


def camera(name: str) -> Track:
    return Track(TrackId(f"{name}/camera"), ParticipantId(f"p-{name}"), Kind.VIDEO, Source.CAMERA)


def frame(name: str, number: int, at_s: float, *, keyframe: bool = True) -> EncodedFrame:
    """Frame *number* of somebody's camera, captured and arrived at *at_s*."""
    return EncodedFrame(
        track_id=TrackId(f"{name}/camera"),
        codec=Codec.VP8,
        epoch=0,
        rtp_timestamp=round(at_s * 90_000),
        arrival_ns=round(at_s * 1e9),
        keyframe=keyframe,
        data=str(number).encode(),
    )
