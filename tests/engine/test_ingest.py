"""One video track between arrival and the tick: decoding, shedding, hiding."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.media import FakeVideoDecoder
from tests.fakes.room import camera, frame
from worker.core.clockmap import ClockMap
from worker.core.timing import NS_PER_S
from worker.engine.ingest import QUEUE_FRAMES, VideoIngest

NAME = "ada"


class Track:
    """An ingest that is fed like the engine does, and counts the keyframes asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.executor = ThreadPoolExecutor(1)
        self.ingest = VideoIngest(
            track=camera(NAME),
            clock_map=ClockMap(),
            decoder=FakeVideoDecoder(),
            executor=self.executor,
            request_keyframe=self._request,
        )

    def feed(self, number: int, at_s: float, *, keyframe: bool) -> None:
        one = frame(NAME, number, at_s, keyframe=keyframe)
        self.ingest.clock_map.observe_arrival(
            one.track_id, one.epoch, one.rtp_timestamp, 90_000, one.arrival_ns
        )
        self.ingest.push(one)

    async def shown(self, at_s: float) -> int | None:
        """The number of the picture at room time *at_s*, decoding given time to finish."""
        for _ in range(50):
            self.ingest.show(round(at_s * NS_PER_S))
            await asyncio.sleep(0.001)
        picture = self.ingest.show(round(at_s * NS_PER_S))
        return None if picture is None else picture.number

    def hide(self, at_s: float) -> None:
        self.ingest.hide(round(at_s * NS_PER_S))

    def _request(self) -> None:
        self.requests += 1


@pytest.fixture
def track():
    made = Track()
    yield made
    made.executor.shutdown()


def feed(track: Track, numbers: range, is_keyframe: Callable[[int], bool]) -> None:
    for number in numbers:
        track.feed(number, number / 10, keyframe=is_keyframe(number))


async def test_nothing_is_decoded_before_the_first_keyframe(track):
    feed(track, range(10), lambda n: n == 5)

    assert await track.shown(0.4) is None
    assert await track.shown(0.9) == 9


async def test_a_track_shown_again_starts_at_the_keyframe_before_that_moment(track):
    feed(track, range(30), lambda n: n % 10 == 0)
    assert await track.shown(0.5) == 5
    track.hide(0.6)
    track.hide(1.4)

    assert await track.shown(1.6) == 16
    assert track.requests == 0


async def test_a_hidden_track_keeps_no_more_than_it_needs(track):
    feed(track, range(30), lambda n: n % 10 == 0)
    for tick in range(30):
        track.hide(tick / 10)

    assert len(track.ingest._queue) == 10


async def test_a_hidden_track_without_keyframes_is_shed_silently_and_asks_when_shown(track):
    track.hide(0)
    feed(track, range(QUEUE_FRAMES + 50), lambda n: n == 0)
    assert track.requests == 0

    assert await track.shown(35) is None
    assert track.requests == 1


async def test_a_queue_that_overflows_goes_on_at_the_next_keyframe(track):
    feed(track, range(QUEUE_FRAMES + 2), lambda n: n in (0, 200))

    assert await track.shown(20.0) == 200
    assert track.ingest.frames_shed == 200


async def test_a_decoder_far_behind_gives_up_to_the_next_keyframe(track):
    feed(track, range(60), lambda n: n in (0, 50))

    assert await track.shown(5.5) == 55
    assert track.ingest.frames_decoded < 20
