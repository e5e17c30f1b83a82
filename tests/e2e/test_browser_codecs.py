"""A real browser sends VP9 and redundant Opus, sees a synthetic person's VP9, and is recorded."""

import asyncio

import numpy as np
import pytest

from tests.support import hearing, oracle
from tests.support.browser import Person, chromium, visit
from tests.support.live import ROOM, cast, document, worker
from tests.support.seeing import Watch, crop, mean_colour, read_tile
from worker.core.layout.geometry import Size
from worker.testroom.person import Sighting, recognise
from worker.testroom.server import serve_room

SECONDS = 6
KEEP_CONNECTIONS = """
  window.connections = [];
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = function (...settings) {
    const connection = new Real(...settings);
    connections.push(connection);
    return connection;
  };
"""
SENT = """async () => {
  const types = new Set();
  for (const connection of connections) {
    const stats = await connection.getStats();
    for (const each of stats.values())
      if (each.type === 'outbound-rtp' && each.packetsSent > 0)
        types.add(stats.get(each.codecId)?.mimeType);
  }
  return [...types].sort();
}"""
SYNTHETIC = """
loop_s = 2
[[participants]]
user_id = "ada"
name = "Ada"
colour = 3
camera = { codec = "vp9", width = 320, height = 180, fps = 15, bitrate_kbps = 300 }
red = 1
"""


async def what_is_sent(person: Person) -> list[str]:
    async with asyncio.timeout(10):
        while len(types := await person.page.evaluate(SENT)) < 2:  # noqa: ASYNC110, a browser
            await asyncio.sleep(0.1)
    return types


@pytest.mark.timeout(90)
async def test_vp9_and_redundant_audio_of_a_browser_are_recorded(tmp_path):
    async with (
        serve_room() as address,
        cast(SYNTHETIC, address.ws_url),
        chromium() as browser,
        visit(
            browser,
            address.page_url,
            "Bob",
            ROOM,
            user_id="bob",
            before=KEEP_CONNECTIONS,
            video="vp9",
            audio="red",
        ) as bob,
    ):
        await bob.sees("Ada")
        job = document(tmp_path, address.ws_url, max_duration_s=SECONDS)
        async with worker(job) as recorder:
            await recorder.recorded(2)
            assert await what_is_sent(bob) == ["audio/opus", "video/VP9"]
            assert await recorder.ended() == 0, recorder.said

    recording = recorder.recording
    assert recording.decode_errors() == ""
    frames = list(recording.frames())[3 * 15 :]
    ada, bob_tile = oracle.gallery(2, 640, 480)
    for planes in frames[::5]:
        sighting = recognise(read_tile(planes, Watch(ada, Size(320, 180))).corners)
        assert sighting == Sighting(3, is_screen=False)
        # The fake camera is a picture without chroma, which is green, with a moving clock in it.
        _, blue, red = mean_colour(planes, bob_tile, inset=0.1)
        assert blue < 60 and red < 60
    moved = np.abs(crop(frames[0], bob_tile).y.astype(int) - crop(frames[-1], bob_tile).y)
    assert moved.max() > 30
    for user in ("ada", "bob"):
        (participant,) = (p for p in recorder.result["participants"] if p["user_id"] == user)
        assert all(track["packets_discarded"] == 0 for track in participant["tracks"])
    # Both beep: the synthetic one on her tone, the fake microphone on another.
    assert len(hearing.beep_onsets(hearing.mono(recording.sound()), 760)) >= SECONDS - 2
