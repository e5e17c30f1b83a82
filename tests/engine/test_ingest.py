"""One video track between arrival and the tick: decoding, shedding, hiding."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fakes.media import FakeVideoDecoder
from tests.fakes.room import camera, frame
from worker.core.clockmap import ClockMap
from worker.core.layout.geometry import Size
from worker.core.offences import MUTE_NS, STRIKES, Conduct, Offence
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.decoders import STUCK_LOOKS, DecoderThreads
from worker.engine.ingest import BATCH_FRAMES, HEAVY_NS, QUEUE_FRAMES, VideoIngest

NAME = "ada"


class HandClock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        raise NotImplementedError


class CostlyDecoder(FakeVideoDecoder):
    """Keeps the books of CPU time itself: every frame takes `cost_ns`."""

    def __init__(self) -> None:
        self.cost_ns = 0
        self.spent_ns = 0
        self.calls = 0
        self.size = Size(64, 36)
        self.gate: threading.Event | None = None
        self.at_gate = threading.Event()

    def decode(self, frame):
        if self.gate is not None:
            self.at_gate.set()
            self.gate.wait()
        self.calls += 1
        self.spent_ns += self.cost_ns
        return replace(super().decode(frame), size=self.size)


class Track:
    """An ingest that is fed like the engine does, and counts the keyframes asked for."""

    def __init__(self, threads: DecoderThreads | None = None) -> None:
        self.requests = 0
        self.clock = HandClock()
        self.conduct = Conduct()
        self.decoder = CostlyDecoder()
        self.threads = threads or DecoderThreads(1)
        self.ingest = VideoIngest(
            track=camera(NAME),
            clock=self.clock,
            clock_map=ClockMap(),
            decoder=self.decoder,
            threads=self.threads,
            thread_cpu_ns=lambda: self.decoder.spent_ns,
            conduct=self.conduct,
            request_keyframe=self._request,
        )

    def feed(self, number: int, at_s: float, *, keyframe: bool, data: bytes = b"") -> None:
        self.clock.ns = round(at_s * NS_PER_S)
        one = frame(NAME, number, at_s, keyframe=keyframe)
        one = replace(one, data=data or one.data)
        self.ingest.clock_map.observe_arrival(
            one.track_id, one.epoch, one.rtp_timestamp, 90_000, one.arrival_ns
        )
        self.ingest.push(one)

    async def shown(self, at_s: float) -> int | None:
        """The number of the picture at room time *at_s*, decoding given time to finish."""
        self.ingest.show(round(at_s * NS_PER_S))
        while self.ingest._is_decoding:
            await asyncio.sleep(0.0005)
            self.ingest.show(round(at_s * NS_PER_S))
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
    made.threads.shutdown()


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


# --- one that is about to be seen -----------------------------------------------------------


async def test_a_track_that_is_about_to_be_seen_gets_a_keyframe_unless_one_is_fresh(track):
    track.ingest.expect(0)
    assert track.requests == 0, "a new stream begins with a keyframe by itself"
    track.feed(0, 0.0, keyframe=True)
    track.ingest.expect(NS_PER_S // 2)
    assert track.requests == 0

    track.ingest.expect(2 * NS_PER_S)
    assert track.requests == 1


# --- offences -------------------------------------------------------------------------------


async def test_a_damaged_frame_costs_nothing_beyond_the_next_keyframe(track):
    for number in range(10):
        data = b"broken" if number == 2 else b""
        track.feed(number, number / 10, keyframe=number in (0, 4), data=data)

    assert await track.shown(0.9) == 9
    assert track.ingest.frames_decoded == 2 + 6, "0, 1 and everything from 4 on"
    assert track.ingest.decode_errors == 1
    assert track.requests == 0


async def test_a_source_of_undecodable_frames_is_muted_and_nothing_more_of_it_is_tried(track):
    for number in range(60):
        track.feed(number, number / 60, keyframe=True, data=b"broken")
        await track.shown(number / 60)

    assert track.ingest.is_muted
    assert track.decoder.calls == STRIKES
    assert track.requests < STRIKES
    requests = track.requests
    track.feed(60, 1.0, keyframe=True)
    assert await track.shown(1.0) is None
    assert (track.decoder.calls, track.requests) == (STRIKES, requests)
    assert track.ingest.facts()["offences"] == {"undecodable": STRIKES}


async def test_a_muted_source_is_let_in_again_with_a_keyframe(track):
    for number in range(STRIKES):
        track.feed(number, number / 10, keyframe=True, data=b"broken")
        await track.shown(number / 10)
    requests = track.requests
    muted_ns = track.clock.ns

    track.ingest.look(muted_ns + MUTE_NS - 1)
    assert track.ingest.is_muted
    track.ingest.look(muted_ns + MUTE_NS)

    assert not track.ingest.is_muted
    assert track.requests == requests + 1
    track.feed(400, 40.0, keyframe=True)
    assert await track.shown(40.0) == 400


async def test_a_source_that_is_published_anew_stays_muted(track):
    for _ in range(STRIKES):
        track.conduct.strike(Offence.UNDECODABLE, 0)

    anew = VideoIngest(
        track=camera(NAME),
        clock=track.clock,
        clock_map=ClockMap(),
        decoder=track.decoder,
        threads=track.threads,
        thread_cpu_ns=lambda: 0,
        conduct=track.conduct,
        request_keyframe=track._request,
    )

    assert anew.is_muted
    track.ingest.look(1)
    assert track.ingest.is_muted, "and so is what was there before"


async def test_a_frame_above_a_megabyte_is_not_queued_and_the_chain_ends_there(track):
    track.feed(0, 0.0, keyframe=True)
    track.feed(1, 0.1, keyframe=False, data=b"x" * ((1 << 20) + 1))
    track.feed(2, 0.2, keyframe=False)
    assert await track.shown(0.2) == 0
    track.feed(3, 0.3, keyframe=True)

    assert await track.shown(0.3) == 3
    assert track.decoder.calls == 2
    assert track.ingest.facts()["offences"] == {"frame_too_large": 1}


# --- the cost of decoding -------------------------------------------------------------------


async def test_frames_that_take_too_long_mute_their_source(track):
    track.decoder.cost_ns = 201 * NS_PER_MS
    feed(track, range(20), lambda n: True)
    track.clock.ns = 0
    for number in range(20):
        await track.shown(number / 10)

    assert track.ingest.is_muted
    assert track.decoder.calls == STRIKES
    assert track.ingest.facts()["offences"] == {"too_expensive": STRIKES}


async def test_a_source_with_expensive_frames_is_decoded_apart_and_loses_nothing(track):
    track.decoder.cost_ns = HEAVY_NS + 1
    feed(track, range(10), lambda n: n == 0)

    assert await track.shown(0.9) == 9
    assert track.ingest._thread is track.threads.heavy
    assert track.ingest.frames_decoded == 10


async def test_while_an_expensive_frame_is_decoded_the_others_of_that_thread_go_on(track):
    other = Track(track.threads)
    track.decoder.cost_ns = HEAVY_NS + 1
    track.feed(0, 0.0, keyframe=True)
    assert await track.shown(0.0) == 0

    track.decoder.gate = threading.Event()
    track.feed(1, 0.1, keyframe=False)
    track.ingest.show(NS_PER_S // 10)
    feed(other, range(30), lambda n: n == 0)
    for number in range(30):
        assert await other.shown(number / 10) == number

    assert track.ingest._is_decoding
    track.decoder.gate.set()
    assert await track.shown(0.1) == 1


async def test_a_source_whose_decoder_hangs_is_dropped_and_the_others_go_on(track):
    other = Track(track.threads)
    gate = track.decoder.gate = threading.Event()
    track.feed(0, 0.0, keyframe=True)
    track.ingest.show(0)
    feed(other, range(5), lambda n: n == 0)
    other.ingest.show(0)
    assert await asyncio.to_thread(track.decoder.at_gate.wait, 5)
    for _ in range(STUCK_LOOKS):
        track.threads.look()

    assert await other.shown(0.4) == 4
    assert track.conduct.is_dropped
    assert track.ingest.is_muted
    assert track.ingest.facts()["offences"] == {"decoder_stuck": 1}
    gate.set()
    track.feed(1, 100.0, keyframe=True)
    assert track.ingest.show(100 * NS_PER_S) is None
    assert not track.ingest._queue


async def test_a_track_gives_up_its_decoder_when_its_time_is_up(track):
    track.decoder.cost_ns = 15 * NS_PER_MS
    feed(track, range(BATCH_FRAMES), lambda n: n == 0)
    batches = []
    submit = track.ingest._thread.submit

    def counted(work, **arguments):
        def timed():
            before = track.decoder.calls
            decoded = work()
            batches.append(track.decoder.calls - before)
            return decoded

        submit(timed, **arguments)

    track.ingest._thread.submit = counted

    assert await track.shown(0.7) == 7
    assert batches[:4] == [2, 2, 2, 2]
    assert max(batches) == 2


async def test_few_pictures_of_the_largest_size_are_in_memory_at_once(track):
    track.decoder.size = Size(4096, 2304)
    for number in range(60):
        track.feed(number, number / 100, keyframe=number == 0)
    most = 0
    for tick in range(60):
        track.ingest.show(tick * NS_PER_S // 100)
        await asyncio.sleep(0.002)
        most = max(most, len(track.ingest._playout))

    # The first batch began before a size was known.
    assert most <= BATCH_FRAMES
    await track.shown(0.2)
    assert track.ingest.frames_decoded > 30
