"""An HLS recording in a real browser, by its own player and by hls.js."""

import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.fakes.courier import FakeCourier
from tests.media.recordings import TEMPLATE, flash_and_click
from tests.support.browser import chromium
from worker.core.record.plan import FileCut
from worker.media.ts_segments import TsSegments
from worker.ports import EncodedPacket, RecordedFile
from worker.sinks.hls_file import HlsFile, Slicing
from worker.sinks.splitting import Splitter

SECONDS = 7.0
SLICE_S = 2
HLS_JS = os.environ.get("MIXWORKER_HLS_JS", "")
"""Path of an hls.min.js, which is no part of this project; with it there is one test more."""

_PLAY = """async (address) => {
    const video = document.querySelector("video");
    const errors = [];
    video.muted = true;
    video.onerror = () => errors.push(video.error.message);
    if (window.Hls) {
        const hls = new Hls();
        hls.on(Hls.Events.ERROR, (_, data) => errors.push(data.type + " " + data.details));
        hls.loadSource(address);
        hls.attachMedia(video);
    } else {
        video.src = address;
    }
    while (video.readyState < 3 && !errors.length) await new Promise((r) => setTimeout(r, 20));
    const duration = video.duration;
    const start = video.currentTime;
    video.playbackRate = 2;
    const ended = new Promise((done) => { video.onended = done; });
    await video.play();
    await ended;
    return { duration, start, errors, end: video.currentTime, width: video.videoWidth,
             frames: video.getVideoPlaybackQuality().totalVideoFrames,
             holes: video.buffered.length };
}"""


async def record(root: Path) -> str:
    """Write a recording as the sink does; returns the key of its playlist."""
    made = flash_and_click(SECONDS)
    spool = root / "spool"
    spool.mkdir()
    file = RecordedFile("job", "file", "HLS", "live/a.m3u8", 0.0, 1e9, 96, 64)
    courier = FakeCourier(root / "store")
    hls = HlsFile(file, made.program, spool, TsSegments(made.program), courier, Slicing(SLICE_S))
    splitter = Splitter(made.program, deque([FileCut(0, True)]))
    pieces = [*splitter.take(made.packets), *splitter.finish()]
    hls.write([each for each in pieces if isinstance(each, EncodedPacket)])
    hls.close(SECONDS)
    hls.announce()
    return (await hls.deliver()).key


@asynccontextmanager
async def served(root: Path) -> AsyncIterator[str]:
    """The files below *root*, and a page with a <video> at /page."""

    async def page(request: web.Request) -> web.Response:
        with_script = '<script src="/hls.js"></script>' if "js" in request.query else ""
        return web.Response(
            text=f"<!doctype html>{with_script}<video></video>", content_type="text/html"
        )

    async def library(_: web.Request) -> web.FileResponse:
        return web.FileResponse(HLS_JS)

    app = web.Application()
    app.router.add_get("/page", page)
    app.router.add_get("/hls.js", library)
    app.router.add_static("/store", root)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "player",
    ["own", "js"] if HLS_JS else ["own"],
)
async def test_chromium_plays_the_whole_recording(tmp_path: Path, player: str) -> None:
    key = await record(tmp_path)
    async with served(tmp_path / "store") as site, chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{site}/page?{player}")
        seen = await page.evaluate(_PLAY, f"{site}/store/{key}")
    assert seen["errors"] == []
    assert seen["width"] == TEMPLATE.size.width
    assert seen["duration"] == pytest.approx(SECONDS, abs=0.1)
    assert seen["end"] == pytest.approx(SECONDS, abs=0.2)
    assert seen["frames"] == SECONDS * TEMPLATE.fps
    assert seen["holes"] == 1
