"""Sound against picture in finished files: flash and beep of every whole second."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support import oracle
from tests.support.rehearse import Rehearsed, rehearse
from tests.support.seeing import Watch
from worker.testroom.person import tone_hz

BAR_S = 0.045
"""At p95: what ITU-R BT.1359 calls just detectable."""


def beeping(people: list[str]) -> str:
    """Three people at most, so that all of them are heard all the time."""
    head = '[defaults.microphone]\nmode = "beep"\nlevel_db = -12\n'
    body = [
        f'[[participants]]\nuser_id = "user-{n}"\ncolour = {3 * n}\n{extra}\n'
        for n, extra in enumerate(people)
    ]
    return head + "\n".join(body)


def offsets_s(done: Rehearsed, joins_s: Sequence[float]) -> list[np.ndarray]:
    """Flash minus beep of everybody, from the second after the last one joined."""
    video = done.recording.video
    rects = oracle.gallery(len(joins_s), video.width, video.height)
    order = sorted(range(len(joins_s)), key=lambda n: joins_s[n])
    histories = done.recording.watch({n: Watch(rect) for n, rect in zip(order, rects, strict=True)})
    settled = round((max(joins_s) + 1) * done.recording.fps)
    for history in histories.values():
        history.flashes[:settled] = [False] * settled
    return [done.recording.av_offsets_s(histories[n], tone_hz(3 * n)) for n in range(len(joins_s))]


def assert_in_sync(offsets: np.ndarray, at_least: int) -> None:
    assert len(offsets) >= at_least
    p95_s = float(np.percentile(np.abs(offsets), 95))
    print(f"p95 {p95_s * 1000:.1f} ms, mean {offsets.mean() * 1000:+.1f} ms, {len(offsets)} beeps")
    assert p95_s <= BAR_S


def test_sound_and_picture_fit_for_late_joiners_and_under_jitter(tmp_path):
    scenario = beeping(
        ["", "join_s = 7.3", "network = {jitter_ms = 100, delay_ms = 60}\njoin_s = 3.1"]
    )

    done = rehearse(tmp_path, scenario, template="640x480_30_1000", seconds=40)

    for offsets in offsets_s(done, [0, 7.3, 3.1]):
        assert_in_sync(offsets, at_least=30)


@pytest.mark.parametrize(
    "minutes",
    [
        pytest.param(1.5, marks=pytest.mark.timeout(400)),
        pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_sound_and_picture_fit_for_minutes_of_drifting_clocks(tmp_path, minutes):
    """+200 and -200 ppm part by 24 ms every minute."""
    small = "camera = {width = 320, height = 180, fps = 15, bitrate_kbps = 150}\n"
    scenario = beeping([small + "clock_ppm = 200", small + "clock_ppm = -200", small])

    done = rehearse(tmp_path, scenario, template="480x360_15_320", seconds=60 * minutes)

    for offsets in offsets_s(done, [0, 0, 0]):
        assert_in_sync(offsets, 60 * minutes - 20)
        # A frame of 15 fps is at most half of 67 ms off; the clocks wander through all phases.
        assert np.abs(offsets).max() <= 0.034 + 0.008, "it drifts"
    assert done.participant("user-0")["tracks"][0]["stretched_blocks"] > 0


def test_the_microphone_of_a_busy_computer_stays_with_its_picture(tmp_path):
    """It loses a percent of its sound: in a minute 0.6 s, that timestamps say nothing of."""
    small = "camera = {width = 320, height = 180, fps = 30, bitrate_kbps = 150}\n"
    scenario = beeping([small + "sound_lost = 0.0107", small])

    done = rehearse(tmp_path, scenario, template="640x480_30_1000", seconds=60)

    for offsets in offsets_s(done, [0, 0]):
        assert_in_sync(offsets, 50)
    tracks = [done.participant(f"user-{n}")["tracks"][0] for n in range(2)]
    print([(track["spliced_blocks"], track["stretched_blocks"]) for track in tracks])
    assert tracks[0]["spliced_blocks"] > 10
    assert tracks[1]["spliced_blocks"] == 0


def test_sound_and_picture_fit_without_any_sender_report(tmp_path):
    """By arrival: as good as the path is even."""
    done = rehearse(
        tmp_path, beeping(["sender_reports = false"]), template="640x480_30_1000", seconds=20
    )

    assert_in_sync(offsets_s(done, [0])[0], 17)


@pytest.mark.parametrize(
    "held_s", [30, pytest.param(4 * 3600, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])]
)
def test_who_was_on_hold_for_long_is_in_its_place_again(tmp_path, held_s):
    """Row M10, with a clock that goes wrong meanwhile, by 2 s in four hours."""
    small = "camera = {width = 320, height = 180, fps = 15, bitrate_kbps = 150}\n"
    scenario = beeping([small + "network = {delay_ms = 20}\nclock_ppm = 150", small])
    scenario += "".join(
        f'[[events]]\nat_s = {at_s}\nuser_id = "user-0"\ndo = "{verb}_{source}"\n'
        for at_s, verb in ((6, "mute"), (6 + held_s, "unmute"))
        for source in ("camera", "microphone")
    )
    seconds = 6 + held_s + 14

    done = rehearse(tmp_path, scenario, template="480x360_15_320", seconds=seconds)

    rects = oracle.gallery(2, 480, 360)
    histories = done.recording.watch({n: Watch(rect) for n, rect in enumerate(rects)})
    history = histories[0]
    held = slice(round((6 + 2) * 15), round((6 + held_s) * 15))
    assert set(history.counters[held]) == {None}, "a placeholder"
    assert None not in history.counters[round((6 + held_s + 1.2) * 15) :]
    assert_in_sync(done.recording.av_offsets_s(history, tone_hz(0)), at_least=4 + 11)
    assert_in_sync(done.recording.av_offsets_s(histories[1], tone_hz(3)), at_least=seconds - 3)
