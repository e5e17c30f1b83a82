"""A real browser that is asked not to send while nobody speaks, recorded by a worker."""

import wave

import numpy as np
import pytest

from tests.support import hearing
from tests.support.browser import chromium, visit
from tests.support.live import document, worker
from worker.testroom.server import serve_room

SECONDS = 12
PERIOD_S = 4
NOISE_DBFS = -34
"""Chromium sends it at -50 or so, which is enough for the speaker to stay in the mix."""
RATE_HZ = 48_000


def a_word_every_four_seconds(path):
    """What the microphone picks up: a second of humming, then a room that is never quite still."""
    times_s = np.arange(PERIOD_S * RATE_HZ) / RATE_HZ
    pcm = np.random.default_rng(3).standard_normal(len(times_s)) * 10 ** (NOISE_DBFS / 20)
    hum = np.sin(2 * np.pi * 200 * times_s) * np.sin(np.pi * 4 * times_s) ** 2
    pcm[:RATE_HZ] += 0.3 * hum[:RATE_HZ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((pcm * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.timeout(120)
async def test_the_pauses_of_a_browser_are_not_sent_and_still_sound_like_its_room(tmp_path):
    sound = a_word_every_four_seconds(tmp_path / "microphone.wav")
    async with (
        serve_room() as address,
        chromium([f"--use-file-for-fake-audio-capture={sound}"]) as browser,
        visit(browser, address.page_url, "Ada", "live", user_id="ada"),
    ):
        job = document(
            tmp_path,
            address.ws_url,
            mix={"encode_template": "audio_only", "layout_template": None},
            audio={"levelling": False},
            max_duration_s=SECONDS,
        )
        async with worker(job) as recorder:
            assert await recorder.ended() == 0, recorder.said

    (ada,) = recorder.result["participants"]
    (track,) = [track for track in ada["tracks"] if track["source"] == "microphone"]
    pcm = hearing.mono(recorder.recording.sound())[RATE_HZ:]
    levels_dbfs = hearing.rms_levels_db(pcm, window_ms=20)
    loud = levels_dbfs > -40
    print(
        f"{track['packets_received']} packets in {SECONDS} s, {loud.mean():.0%} of the time words, "
        f"else {np.percentile(levels_dbfs[~loud], [0, 50, 95]).round(1)} dBFS (least, 50th, 95th %)"
    )
    assert track["packets_received"] < 0.95 * 50 * SECONDS
    assert track["concealed_ms"] < 20 * SECONDS
    assert 0.1 < loud.mean() < 0.45
    # libopus needs a moment to find out how loud the noise is.
    assert levels_dbfs.min() > np.median(levels_dbfs[~loud]) - 10, "silence instead of noise"
