"""Two real browsers in the test room, one sharing its screen, recorded by a worker."""

import numpy as np
import pytest

from tests.support import hearing, oracle
from tests.support.browser import chromium, visit
from tests.support.live import document, worker
from tests.support.seeing import crop, mean_colour
from worker.core.layout.geometry import Rect
from worker.core.planes import VideoPlanes
from worker.testroom.server import serve_room

SECONDS = 12


def is_camera_green(planes: VideoPlanes, rect: Rect) -> bool:
    """Chromium's fake camera is a picture without chroma, which is green, with a clock in it."""
    _, blue, red = mean_colour(planes, rect, inset=0.1)
    return blue < 60 and red < 60


def is_empty(planes: VideoPlanes, rect: Rect) -> bool:
    """The plain canvas."""
    return float(crop(planes, rect).y.max()) < 40


@pytest.mark.timeout(150)
async def test_two_browsers_and_a_shared_screen_are_recorded(tmp_path):
    async with (
        serve_room() as address,
        chromium() as browser,
        visit(browser, address.page_url, "Ada", "live", user_id="ada") as ada,
        visit(browser, address.page_url, "Bob", "live", user_id="bob") as bob,
    ):
        await ada.sees("Bob")
        await bob.sees("Ada")
        job = document(
            tmp_path,
            address.ws_url,
            mix={
                "encode_template": "1280x720_30_1710",
                "layout_template": "screen_share_right",
            },
            max_duration_s=SECONDS,
        )
        async with worker(job) as recorder:
            await recorder.recorded(3)
            await bob.page.click("#screen")
            assert await recorder.ended() == 0, recorder.said

    recording = recorder.recording
    assert recording.decode_errors() == ""
    left_out = recorder.result["video"]["left_out_frames"]
    print(f"{left_out} frames left out beside two browsers")
    assert recording.video.packets + left_out == SECONDS * 30
    assert recording.video.duration_s == pytest.approx(SECONDS, abs=0.04)
    participants = {p["user_id"]: p for p in recorder.result["participants"]}
    assert {user: p["name"] for user, p in participants.items()} == {"ada": "Ada", "bob": "Bob"}
    assert {t["source"] for t in participants["bob"]["tracks"]} == {
        "camera",
        "microphone",
        "screen",
    }

    frames = list(recording.frames())
    stage = oracle.stage("right", 1280, 720)
    first, second = oracle.strip("right", 2, 1280, 720)
    below = Rect(first.x, second.bottom, first.width, 720 - second.bottom)
    for planes in frames[120::15]:
        assert is_camera_green(planes, first)
        assert is_camera_green(planes, second)
        assert is_empty(planes, below)
    # Before the share the stage is empty, at the end it shows the screen, complete and moving.
    assert is_empty(frames[75], stage)
    assert not is_empty(frames[-1], stage)
    moving = np.abs(crop(frames[-1], stage).y.astype(int) - crop(frames[-45], stage).y.astype(int))
    assert moving.max() > 30

    # The fake microphones beep once a second.
    sound = hearing.mono(recording.sound())
    assert hearing.rms_db(sound[48_000 * 3 :]) > -45
    assert hearing.true_peak_db(recording.sound()) <= -0.9
