"""What every room has that receives RTP: one reader of sockets, counters, patience, feedback."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from worker.core.identity import TrackId
from worker.ports import TrackStatistics
from worker.rooms.reader import CALM_INTERVAL_S, READ_INTERVAL_S, DatagramReader
from worker.rooms.receive.doze import Resting
from worker.rooms.receive.patience import Patience
from worker.rooms.track_statistics import RoomStatistics

logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """One connection of a room, or what keeps one up."""

    def poll(self, now_ns: int) -> None:
        """Send the RTCP that is due."""
        ...

    @property
    def is_calm(self) -> bool:
        """Whether it is connected and nothing is waited for, so that there is no hurry."""
        ...


class Receiving:
    """The part of `ports.Room` that does not depend on how a room is signalled."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._statistics = RoomStatistics()
        self._patience = Patience()
        self._resting = Resting()
        self._reader: DatagramReader | None = None

    def wanted_delay_ns(self) -> int:
        """Playout delay with which lost pictures could be repaired."""
        return self._patience.wanted_delay_ns

    def set_patience(self, *, video_ns: int, audio_ns: int) -> None:
        """Missing packets of all publishers are waited for this long."""
        self._patience.set_limits(video_ns=video_ns, audio_ns=audio_ns)

    def rest_sound(self, resting: frozenset[TrackId]) -> None:
        """Silence of these microphones stays undecrypted; see `ports.Room`."""
        self._resting.tracks = resting

    def datagrams_dropped(self) -> int:
        """Datagrams of all connections that the kernel dropped for want of room."""
        return self._reader.overflowed if self._reader is not None else 0

    def statistics(self) -> Mapping[TrackId, TrackStatistics]:
        """Counters of every track seen so far, but for those forgotten."""
        return self._statistics

    def forget(self, track_id: TrackId) -> None:
        """Keep nothing of a track that has ended."""
        self._statistics.pop(track_id, None)

    def _open_reader(self) -> None:
        """Before the first connection is made."""
        self._reader = DatagramReader.where_available(self._clock_ns)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    async def _poll(self, subscribers: Callable[[], Iterable[Subscriber]]) -> None:
        """Read what has come and send what is due, until cancelled."""
        has_failed = False
        while True:
            is_calm = all(subscriber.is_calm for subscriber in subscribers())
            if self._reader is None:
                await asyncio.sleep(CALM_INTERVAL_S if is_calm else READ_INTERVAL_S)
            else:
                await asyncio.sleep(self._reader.pause_s(is_calm=is_calm))
                self._reader.read()
            now_ns = self._clock_ns()
            for subscriber in subscribers():
                try:
                    subscriber.poll(now_ns)
                except Exception:  # connection boundary: the others' feedback must go on
                    if not has_failed:
                        logger.exception("feedback failed; further failures are not logged")
                    has_failed = True
