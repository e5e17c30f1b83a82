"""Video that nobody looks at is not sent: real publishers, and rehearsals likewise."""

import asyncio

import pytest

from tests.support.company import Witness, actor, company
from worker.core.identity import Codec, TrackId
from worker.core.layout.geometry import Size
from worker.engine.clock import LoopClock
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.rehearsal import RehearsalRoom
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.virtual_loop import run_virtual

TILE = Size(64, 64)
LIVE = "camera = { live = true, fps = 20 }"


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


async def test_a_publisher_sends_no_packet_of_a_video_nobody_looks_at(
    library: LoopLibrary,
) -> None:
    async with company([actor("ada", LIVE), actor("bob")], library) as people:
        room, witness = people.room, people.witness
        ada, bob, sound = await people.heard(
            ("ada", "camera"), ("bob", "camera"), ("ada", "microphone")
        )
        room.want_video({bob: TILE})
        await asyncio.sleep(0.3)
        before = room.statistics()[ada].packets_received
        frames_before, sound_before = len(witness.of(ada)), len(witness.of(sound))
        bob_before = len(witness.of(bob))
        await asyncio.sleep(1)
        assert room.statistics()[ada].packets_received == before
        assert len(witness.of(ada)) == frames_before
        assert len(witness.of(sound)) > sound_before + 40
        assert len(witness.of(bob)) > bob_before + 15

        room.want_video({ada: TILE, bob: TILE})
        asked_s = asyncio.get_running_loop().time()
        await people.until(lambda: len(witness.of(ada)) > frames_before)
        took_s = asyncio.get_running_loop().time() - asked_s
        anew = witness.of(ada)[frames_before]
        assert anew.keyframe
        assert anew.epoch == 0
        assert took_s < 0.3, "a live camera begins at once"
        assert room.statistics()[ada].packets_lost == 0


@pytest.mark.soak
async def test_a_long_pause_is_no_reason_to_connect_anew(library: LoopLibrary) -> None:
    async with company(actor("ada", "microphone = false"), library) as people:
        (camera,) = await people.heard(("ada", "camera"))
        people.room.want_video({})
        await asyncio.sleep(7)  # longer than any silence that is tolerated of a live track
        count = len(people.witness.of(camera))
        people.room.want_video({camera: TILE})
        await people.until(lambda: len(people.witness.of(camera)) > count + 5)
        assert {frame.epoch for frame in people.witness.of(camera)} == {0}
        assert people.witness.of(camera)[count].keyframe


async def test_who_publishes_later_is_paused_from_the_start_unless_wanted(
    library: LoopLibrary,
) -> None:
    async with company([actor("ada"), actor("bob", "join_s = 1")], library) as people:
        (ada,) = await people.heard(("ada", "camera"))
        people.room.want_video({ada: TILE})
        await people.heard(("bob", "microphone"), frames=30)
        bob = people.witness.track("bob", "camera")
        assert bob is not None
        assert people.room.statistics()[bob].packets_received == 0
        people.room.want_video({ada: TILE, bob: TILE})
        await people.heard(("bob", "camera"))
        assert people.witness.of(bob)[0].keyframe


def test_a_rehearsed_camera_pauses_and_begins_with_a_keyframe(library: LoopLibrary) -> None:
    scenario = parse_scenario("loop_s = 1\n" + actor("ada", LIVE) + actor("bob"))
    ada, bob = TrackId("ada#1/camera"), TrackId("bob#1/camera")

    async def run() -> Witness:
        clock = LoopClock(asyncio.get_running_loop())
        room, witness = RehearsalRoom(scenario, clock, library), Witness()
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(room.run(witness))
            while not witness.of(bob):  # noqa: ASYNC110 - frames set no event
                await asyncio.sleep(0.1)
            origin_s = witness.frames[0].arrival_ns / 1e9
            await asyncio.sleep(origin_s + 2 - asyncio.get_running_loop().time())
            room.want_video({bob: TILE})
            await asyncio.sleep(3)
            room.want_video({ada: TILE})
            await asyncio.sleep(2)
            playing.cancel()
        return witness

    witness = run_virtual(run())
    first_ns = witness.frames[0].arrival_ns
    seconds = {
        track_id: [(frame.arrival_ns - first_ns) / 1e9 for frame in witness.of(track_id)]
        for track_id in (ada, bob)
    }
    assert not [at_s for at_s in seconds[ada] if 2.1 < at_s < 4.9]
    assert not [at_s for at_s in seconds[bob] if at_s > 5.1]
    assert len([at_s for at_s in seconds[bob] if 2.1 < at_s < 4.9]) > 30
    resumed = next(frame for frame in witness.of(ada) if frame.arrival_ns - first_ns > 4.9e9)
    assert resumed.keyframe
    assert resumed.codec is Codec.VP8
