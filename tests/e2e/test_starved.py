"""A worker that gets half of what it needs of the machine, for most of its job."""

import asyncio

import numpy as np
import pytest

from tests.support import hearing, oracle
from tests.support.live import document, live_room, worker
from tests.support.rehearse import people
from tests.support.seeing import Watch, av_offsets, flash_frames
from tests.support.starving import cpu_s, starved
from worker.testroom.person import tone_hz

PEOPLE = 3
SECONDS = 24
SHARE = 0.5
"""Of what it takes while there is enough: half a core, more or less."""


@pytest.mark.timeout(150)
async def test_pictures_give_way_but_no_sound_no_length_and_not_the_end(tmp_path):
    loop = asyncio.get_running_loop()
    beeping = '[defaults.microphone]\nmode = "beep"\nlevel_db = -12\n'
    async with live_room(people(PEOPLE, defaults=beeping)) as url:
        job = document(
            tmp_path, url, mix={"encode_template": "1280x720_30_1710"}, max_duration_s=SECONDS
        )
        async with worker(job) as recorder:
            pid = recorder.process.pid
            await recorder.recorded(2)
            began_s, had_s = loop.time(), cpu_s(pid)
            await recorder.recorded(5)
            needs = (cpu_s(pid) - had_s) / (loop.time() - began_s)
            async with starved(pid, SHARE * needs):
                await recorder.recorded(SECONDS)
                stopped_s = loop.time()
                assert await recorder.ended() == 0, recorder.said
                drained_s = loop.time() - stopped_s

    video, recording = recorder.result["video"], recorder.recording
    print(f"needs {needs:.2f} core, drained in {drained_s:.1f} s", video)
    assert video["left_out_frames"] > SECONDS
    assert video["frames"] + video["left_out_frames"] == SECONDS * 30
    assert recorder.result["warnings"] == [
        f"the machine was too slow: {video['left_out_frames']} frames were left out"
    ]
    assert video["worst_lag_ms"] < 8000
    assert drained_s < 15

    assert recording.decode_errors() == ""
    assert recording.video.packets == video["frames"]
    assert recording.video.duration_s == pytest.approx(SECONDS, abs=0.1)
    assert recording.audio.duration_s == pytest.approx(SECONDS, abs=0.1)
    longest_s = np.diff(recording.video.times_s).max()
    assert longest_s <= 0.55, "the picture moves on twice a second at least"

    rects = oracle.gallery(PEOPLE, 1280, 720)
    histories = recording.watch({n: Watch(rect) for n, rect in enumerate(rects)})
    times_s = np.asarray(recording.video.times_s)
    sound = hearing.mono(recording.sound())
    for history in histories.values():
        who = history.owner()
        beeps_s = hearing.beep_onsets(sound, tone_hz(who.index))
        offsets_s = av_offsets(times_s[flash_frames(history.flashes)], beeps_s)
        print(who, len(beeps_s), "beeps, flashes off by", np.round(offsets_s, 2))
        assert len(beeps_s) >= SECONDS - 2
        assert np.diff(beeps_s) == pytest.approx(np.round(np.diff(beeps_s)), abs=0.06)
        assert np.median(np.abs(offsets_s)) < 0.2
