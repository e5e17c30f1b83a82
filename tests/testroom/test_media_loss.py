"""Media that stops while signalling goes on: how long nothing comes, and what is given up."""

import asyncio

import pytest

from tests.support.company import Company, actor, company
from worker.ports import ParticipantJoined, RoomDisconnected
from worker.testroom.loop_media import LoopLibrary

ADA = actor("ada", "camera = { live = true }")  # answers a keyframe request at once
BOTH = [("ada", "camera"), ("ada", "microphone")]


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


async def outage(people: Company, seconds: float, **directions: bool) -> dict[str, float]:
    """Longest time without frames of camera and microphone around an outage, s."""
    camera, microphone = await people.heard(*BOTH, frames=20)
    people.media_link.block(**directions)
    await asyncio.sleep(seconds)
    people.media_link.open()
    counts = {track_id: len(people.witness.of(track_id)) for track_id in (camera, microphone)}
    await people.until(
        lambda: all(len(people.witness.of(each)) > count + 20 for each, count in counts.items())
    )
    gaps_s = {
        "camera": people.witness.longest_gap_s(camera),
        "microphone": people.witness.longest_gap_s(microphone),
    }
    print(f"outage {seconds} s {directions}: longest gaps {gaps_s}")
    assert people.witness.count(ParticipantJoined) == 1
    assert people.witness.count(RoomDisconnected) == 0
    return gaps_s


async def test_a_short_outage_is_sat_out_on_the_same_session(library: LoopLibrary) -> None:
    async with company(ADA, library, impaired_media=True) as people:
        gaps_s = await outage(people, 3)
        assert max(gaps_s.values()) <= 3 + 2
        assert {frame.epoch for frame in people.witness.frames} == {0}


async def test_after_ten_seconds_the_session_that_lives_is_adopted(library: LoopLibrary) -> None:
    async with company(ADA, library, impaired_media=True, deadline_s=40) as people:
        gaps_s = await outage(people, 10)
        assert max(gaps_s.values()) <= 10 + 2


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [3, 10, 40])
@pytest.mark.parametrize(
    "directions",
    [
        {"to_worker": True, "to_publishers": True},
        {"to_worker": True, "to_publishers": False},
        {"to_worker": False, "to_publishers": True},
    ],
    ids=["both", "to worker", "to publisher"],
)
async def test_media_is_back_two_seconds_after_any_outage(
    library: LoopLibrary, seconds: float, directions: dict[str, bool]
) -> None:
    async with company(ADA, library, impaired_media=True, deadline_s=90) as people:
        gaps_s = await outage(people, seconds, **directions)
        assert max(gaps_s.values()) <= seconds + 2
