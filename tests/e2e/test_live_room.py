"""A worker and a cast over real WebRTC on this machine, in real time."""

import asyncio

import pytest

from tests.support import oracle
from tests.support.live import cast, document, live_room, worker
from tests.support.rehearse import people
from tests.support.seeing import TileHistory, Watch, read_tile
from worker.core.layout.geometry import Fit, Size
from worker.testroom.person import Sighting, tone_hz
from worker.testroom.server import serve_room

NINE = people(9)
ATTEMPTS = 3
"""A neighbour of this machine can stall both cores; a worker that is too slow is so each time."""
START_S = 2.0


@pytest.mark.timeout(240)
async def test_nine_people_at_360p_are_recorded_in_real_time_without_a_late_tick(tmp_path):
    async with live_room(NINE) as url:
        for attempt in range(ATTEMPTS):
            mix = {"encode_template": "1280x720_30_1710"}
            job = document(tmp_path, url, f"try-{attempt}", mix=mix, max_duration_s=15)
            async with worker(job) as recorder:
                assert await recorder.ended() == 0, recorder.said
            video = recorder.result["video"]
            print(video)
            if video["late_frames"] == 0:
                break

    assert video["frames"] == 15 * 30
    assert video["late_frames"] == 0
    assert video["duplicated_frames"] == 0
    recording = recorder.recording
    assert recording.decode_errors() == ""
    assert recording.video.packets == 15 * 30
    rects = oracle.gallery(9, 1280, 720)
    histories = {n: TileHistory() for n in range(9)}
    for planes in recording.frames(start_s=4, seconds=4):
        for n, rect in enumerate(rects):
            histories[n].add(read_tile(planes, Watch(rect)))
    # The cast joins in no particular order: everybody has one tile, and keeps it.
    owners = [set(history.people) for history in histories.values()]
    assert sorted(next(iter(owner)).index for owner in owners if len(owner) == 1) == list(range(9))
    for history in histories.values():
        steps = [
            (b - a) % 300 for a, b in zip(history.counters, history.counters[1:], strict=False)
        ]
        assert sum(steps) == pytest.approx(len(steps), abs=2)
        assert max(steps) <= 3, "a tile froze or jumped by more than two frames"
    for participant in recorder.result["participants"]:
        for track in participant["tracks"]:
            assert track["packets_received"] > 100
            assert track["packets_lost"] == 0


async def test_a_recording_shows_live_video_two_seconds_after_the_process_was_started(tmp_path):
    """With cameras that answer a keyframe request at once, as browsers do."""
    scenario = people(2, defaults="[defaults.camera]\nlive = true\nwidth = 320\nheight = 180\n")
    starts_s = []
    async with live_room(scenario) as url:
        for attempt in range(ATTEMPTS):
            job = document(tmp_path, url, f"try-{attempt}", max_duration_s=3)
            started_s = asyncio.get_running_loop().time()
            async with worker(job) as recorder:
                await recorder.recorded(0)
                joining_s = asyncio.get_running_loop().time() - started_s
                assert await recorder.ended() == 0, recorder.said
            starts_s.append(joining_s + recorder.result["video"]["first_live_frame"] / 15)

    print("first live picture after", [f"{start_s:.2f} s" for start_s in starts_s])
    assert min(starts_s) <= START_S


@pytest.mark.timeout(180)
async def test_sound_and_picture_fit_over_a_bad_network(tmp_path):
    """Loss, jitter and reordering at the sender; two codecs."""
    scenario = """
[defaults.microphone]
mode = "beep"
level_db = -12
[[participants]]
user_id = "user-0"
colour = 0
network = {loss = 0.03, jitter_ms = 40, reorder = 0.05, duplicate = 0.02}
[[participants]]
user_id = "user-1"
colour = 3
camera = {codec = "h264"}
network = {loss = 0.03, jitter_ms = 100, delay_ms = 20}
"""
    job = document(tmp_path, "", mix={"encode_template": "640x480_30_1000"}, max_duration_s=25)
    async with live_room(scenario) as url:
        job["room"]["url"] = url
        async with worker(job) as recorder:
            assert await recorder.ended() == 0, recorder.said

    recording = recorder.recording
    histories = recording.watch(
        {n: Watch(rect) for n, rect in enumerate(oracle.gallery(2, 640, 480))}
    )
    for history in histories.values():
        who = history.owner(from_frame=90)
        offsets = recording.av_offsets_s(history, tone_hz(who.index))
        print(who, f"worst {abs(offsets).max() * 1000:.0f} ms of {len(offsets)} beeps")
        assert len(offsets) >= 18
        assert sorted(abs(offsets))[int(0.95 * len(offsets))] <= 0.045
        readable = [counter for counter in history.counters[90:] if counter is not None]
        assert len(readable) == len(history.counters[90:]), "a damaged picture was recorded"
    recovered = sum(
        track["packets_recovered"]
        for participant in recorder.result["participants"]
        for track in participant["tracks"]
    )
    assert recovered > 50, "losses were repaired by retransmission"


async def test_a_late_joiner_a_share_and_a_leaver_change_the_layout(tmp_path):
    scenario = people(
        2,
        extra="""
[[participants]]
user_id = "late"
colour = 2
join_s = 5
leave_s = 9
[[events]]
at_s = 4
user_id = "user-1"
do = "share_screen"
""",
    )
    job = document(tmp_path, "", mix={"layout_template": "screen_share_left"}, max_duration_s=18)
    async with serve_room() as address:
        job["room"]["url"] = address.ws_url
        async with worker(job) as recorder:
            await recorder.recorded(0)
            async with cast(scenario, address.ws_url):
                assert await recorder.ended() == 0, recorder.said

    stage = oracle.stage("left", 640, 480)
    third = oracle.strip("left", 3, 640, 480)[2]
    recording = recorder.recording
    late = next(p for p in recorder.result["participants"] if p["user_id"] == "late")
    joined_s, left_s = late["joined_s"], late["left_s"]
    assert left_s - joined_s == pytest.approx(4, abs=0.7)
    history = recording.watch(
        {"stage": Watch(stage, Size(1280, 720), Fit.CONTAIN), "third": Watch(third)}
    )
    fps = recording.fps
    during = history["third"].people[round((joined_s + 1.5) * fps) : round((left_s - 0.2) * fps)]
    assert set(during) == {Sighting(2, is_screen=False)}
    assert set(history["third"].people[round((left_s + 0.2) * fps) :]) == {None}
    shared = [person for person in history["stage"].people if person is not None]
    assert set(shared) == {Sighting(1, is_screen=True)}
