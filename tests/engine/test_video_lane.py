"""What the video lane does when the machine is too slow."""

import asyncio
from collections.abc import Collection
from itertools import pairwise

from tests.fakes.media import FakeCompositor, FakeVideoEncoder
from worker.core.layout.geometry import Size
from worker.core.playoutdelay import PlayoutDelay
from worker.core.spec import GalleryLayout, MixSpec
from worker.core.template import ALL_TEMPLATES, EncodeTemplate
from worker.core.timing import NS_PER_S
from worker.engine.clock import LoopClock
from worker.engine.director import Director
from worker.engine.ingest import DECODE_LEAD_NS
from worker.engine.video import BATCH_NS, ENCODE_QUEUE, VideoLane
from worker.media.compose import DEFAULT_CANVASES
from worker.testroom.virtual_loop import run_virtual

TEMPLATE = EncodeTemplate(Size(640, 480), 30, 1000)


class StallingClock(LoopClock):
    """Once the loop reads *from_s*, waiting takes *stall_s* longer than asked, a single time."""

    def __init__(self, loop, from_s: float, stall_s: float) -> None:
        super().__init__(loop)
        self._from_ns = round(from_s * 1e9)
        self._stall_s = stall_s

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        await super().sleep_until_ns(deadline_ns)
        if self._stall_s and deadline_ns >= self._from_ns:
            stall_s, self._stall_s = self._stall_s, 0.0
            await asyncio.sleep(stall_s)


def run_lane(
    stall_s: float, *, end_tick: int = 300, keyframes: Collection[int] = ()
) -> tuple[VideoLane, FakeCompositor, FakeVideoEncoder]:
    async def main():
        compositor, encoder = FakeCompositor(), FakeVideoEncoder(TEMPLATE)

        async def deliver(packets) -> None:
            pass

        lane = VideoLane(
            clock=StallingClock(asyncio.get_running_loop(), 1.0, stall_s),
            director=Director(MixSpec("room", TEMPLATE, GalleryLayout()), TEMPLATE.size),
            tracks={},
            compositor=compositor,
            encoder=encoder,
            fps=30,
            deliver=deliver,
            wants_keyframe=lambda tick: tick in keyframes,
        )
        lane.end_tick = end_tick
        await lane.run(0, PlayoutDelay(0, picture_lead_ns=0, sound_lead_ns=0))
        return lane, compositor, encoder

    return run_virtual(main())


def test_what_a_batch_shows_is_decoded_before_it():
    """Else its later ticks show old pictures, and the worker looks faster than it is."""
    longest_period_ns = NS_PER_S // 15
    assert BATCH_NS + longest_period_ns // 2 <= DECODE_LEAD_NS


def test_there_are_canvases_for_every_batch_on_its_way_to_the_encoder():
    """One batch is being painted, some wait, one is being encoded; and one picture is kept."""
    ticks = max(BATCH_NS * template.fps // NS_PER_S for template in ALL_TEMPLATES)
    assert (1 + ENCODE_QUEUE + 1) * ticks + 1 <= DEFAULT_CANVASES


def test_a_lane_in_time_composes_every_frame():
    lane, compositor, encoder = run_lane(0)

    assert len(encoder.canvases) == 300
    assert not any(canvas.repeated for canvas in compositor.composed)
    assert (lane.counters.late, lane.counters.duplicated) == (0, 0)


def test_half_a_second_behind_is_caught_up_without_losing_a_frame():
    lane, compositor, encoder = run_lane(0.5)

    assert len(encoder.canvases) == 300
    assert lane.counters.duplicated == 0
    assert lane.counters.late > 0
    assert 490 < lane.counters.worst_lag_ms < 510


def test_further_behind_frames_are_repeated_and_counted_but_none_is_left_out():
    lane, compositor, encoder = run_lane(1.9)

    assert encoder.ticks == list(range(300))
    repeated = sum(canvas.repeated for canvas in compositor.composed)
    assert repeated == lane.counters.duplicated
    assert 10 < repeated < 60
    assert lane.counters.left_out == 0


def test_far_behind_frames_are_left_out_and_counted_but_the_picture_moves_on():
    lane, _, encoder = run_lane(6)

    assert len(encoder.ticks) + lane.counters.left_out == 300
    assert 60 < lane.counters.left_out < 180
    gaps = [b - a for a, b in pairwise(encoder.ticks)]
    assert max(gaps) == 15
    assert (encoder.ticks[0], encoder.ticks[-1]) == (0, 299)
    assert lane.counters.worst_lag_ms < 6100


def test_a_frame_where_a_file_begins_is_never_left_out_nor_a_repetition():
    lane, compositor, encoder = run_lane(6, keyframes={40, 77, 133})

    assert {40, 77, 133} <= set(encoder.ticks)
    composed = dict(zip(encoder.ticks, compositor.composed, strict=True))
    assert not any(composed[tick].repeated for tick in (40, 77, 133))


def test_at_its_end_a_late_lane_still_encodes_the_last_frame():
    lane, _, encoder = run_lane(9.5, end_tick=278)

    assert encoder.ticks[-1] == 277
    assert lane.counters.left_out > 100
