"""A finished and a killed recording in the <video> element of a real browser."""

import shutil
from pathlib import Path

import pytest

from tests.media.recordings import TEMPLATE, flash_and_click
from tests.support.browser import chromium
from worker.media.mux import Mp4Muxer

_PLAY = """async (time) => {
    const video = document.querySelector("video");
    video.muted = true;
    video.pause();
    if (video.readyState < 1)
        await new Promise((done, failed) => {
            video.onloadedmetadata = done;
            video.onerror = () => failed(new Error(video.error.message));
        });
    const duration = video.duration;
    const shown = new Promise((done) => {
        // One from before may be told late: a document plays by itself at first.
        const look = (_, frame) => frame.mediaTime > time / 2
            ? done(frame.mediaTime) : video.requestVideoFrameCallback(look);
        video.requestVideoFrameCallback(look);
    });
    const sought = new Promise((done) => { video.onseeked = done; });
    video.currentTime = time;
    await sought;
    const mediaTime = await shown;
    await video.play();
    await new Promise((done) => { video.onended = done; });
    return { duration, mediaTime, width: video.videoWidth, end: video.currentTime,
             error: video.error && video.error.message };
}"""


@pytest.mark.parametrize("is_closed", [True, False])
async def test_chromium_knows_the_length_seeks_and_plays_to_the_end(
    tmp_path: Path, is_closed: bool
) -> None:
    programme = flash_and_click(3.0)
    path = tmp_path / "a.mp4"
    muxer = Mp4Muxer(path, programme.program)
    for packet in programme.packets:
        muxer.write(packet)
    shutil.copy(path, tmp_path / "killed.mp4")
    muxer.close()
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto((path if is_closed else tmp_path / "killed.mp4").as_uri())
        seen = await page.evaluate(_PLAY, 1.51)
    assert seen["error"] is None
    assert seen["width"] == TEMPLATE.size.width
    assert seen["duration"] == pytest.approx(3.0, abs=0.05 if is_closed else 0.5)
    # Frame 45 is shown from 1.500 s on.
    assert seen["mediaTime"] == pytest.approx(1.5, abs=0.001)
    assert seen["end"] == pytest.approx(seen["duration"], abs=0.05)
