"""Publishing to servers that are not nginx, and for days on end."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.support.container import decode_errors
from tests.support.live_packets import FPS, Footage, LiveSource, footage, see
from tests.support.look import Recording
from tests.support.rtmp import free_port, listening, rtmp_server
from worker.core.timing import SAMPLE_RATE_HZ
from worker.engine.clock import LoopClock
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.ports import StreamKind
from worker.sinks.rtmp import RtmpSink

SECONDS = 2
KEY = "key"


def rtmp_sink(url: str) -> RtmpSink:
    return RtmpSink(
        url,
        name="rtmp-1",
        clock=LoopClock(asyncio.get_running_loop()),
        dialer=Dialer(Reach.parse(["127.0.0.0/8"])),
        tls=verified_tls(),
    )


@asynccontextmanager
async def ffmpeg_server(url, path):
    """ffmpeg as a server for one publisher, recording with the times it was given."""
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-copyts", "-listen", "1", "-i", url]
    process = await asyncio.create_subprocess_exec(
        *(*command, "-c", "copy", "-copyts", str(path)), stderr=asyncio.subprocess.PIPE
    )
    try:
        # Asking whether it answers would be its one connection.
        await listening(urlsplit(url).port or 0)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def later(shown: Footage, seconds: int) -> Footage:
    """The same, so many seconds into a job; a whole number of groups."""

    def moved(packet):
        rate_hz = FPS if packet.kind is StreamKind.VIDEO else SAMPLE_RATE_HZ
        offset = seconds * rate_hz
        return replace(packet, pts=packet.pts + offset, dts=packet.dts + offset)

    return Footage(shown.program, [[moved(packet) for packet in tick] for tick in shown.ticks])


async def test_ffmpeg_as_a_server_gets_every_frame_with_the_times_of_the_job(tmp_path):
    shown = later(footage(SECONDS), 100)
    path, url = tmp_path / "received.mkv", f"rtmp://127.0.0.1:{free_port()}/live/{KEY}"
    async with ffmpeg_server(url, path) as server:
        sink = rtmp_sink(url)
        await sink.run(shown.program, LiveSource(shown, asyncio.get_running_loop().time()))
        async with asyncio.timeout(5):
            await server.wait()

    assert sink.report().error is None
    assert decode_errors(path) == ""
    seen = see(path)
    assert seen.numbers == list(range(SECONDS * FPS))
    # Frame 0 lies behind the priming of the sound, 21 ms.
    assert seen.times_s[0] == pytest.approx(100.021, abs=0.002)


async def test_a_job_of_hours_has_long_timestamps_and_nothing_else_changes(tmp_path):
    """Beyond 4.66 h times take 32 bits and are repeated in every chunk of a large picture."""
    begin_s, step_s = 16_776, 0xFFFFFF / 1000
    shown = later(footage(3), begin_s)
    assert begin_s + 1 < step_s < begin_s + 2, "the step lies in the middle, before a keyframe"
    assert max(len(each.data) for each in shown.packets if each.pts == (begin_s + 2) * FPS) > 4096
    async with rtmp_server(tmp_path) as server:
        sink = rtmp_sink(server.url(KEY))
        await sink.run(shown.program, LiveSource(shown, asyncio.get_running_loop().time()))
        await server.written()

    (path,) = server.received(KEY)
    assert decode_errors(path) == ""
    seen = see(path)
    assert seen.numbers == list(range(3 * FPS))
    assert seen.times_s == pytest.approx([k / FPS for k in range(3 * FPS)], abs=0.0021)


async def test_a_job_without_video_is_pushed_as_sound_alone(tmp_path):
    shown = footage(SECONDS, with_video=False)
    async with rtmp_server(tmp_path) as server:
        sink = rtmp_sink(server.url(KEY))
        await sink.run(shown.program, LiveSource(shown, asyncio.get_running_loop().time()))
        await server.written()

    (path,) = server.received(KEY)
    recording = Recording(path)
    assert recording.facts.video is None
    assert recording.audio.duration_s == pytest.approx(SECONDS, abs=0.05)
    assert sink.report().packets == recording.audio.packets == len(shown.packets)
