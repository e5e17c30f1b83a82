"""Layouts change between two frames: every single frame of the file shows one layout whole."""

import math
from dataclasses import dataclass

import pytest

from tests.support import oracle
from tests.support.rehearse import rehearse
from tests.support.seeing import Watch, read_tile
from worker.core.layout.geometry import Fit, Rect, Size
from worker.testroom.person import Sighting, recognise

WIDTH, HEIGHT, FPS = 640, 480, 30
WARM_UP_FRAMES = 4
"""The first picture of a screen of 10 fps is up to three frames behind its tile."""


@dataclass(frozen=True)
class Expected:
    """Who must be in which box."""

    who: Sighting
    watch: Watch


def camera(n: int, rect: Rect) -> Expected:
    return Expected(Sighting(n, is_screen=False), Watch(rect))


def gallery(*slots: int | None) -> list[Expected]:
    rects = oracle.gallery(len(slots), WIDTH, HEIGHT)
    return [camera(n, rect) for n, rect in zip(slots, rects, strict=True) if n is not None]


def share(sharer: int | None, *strip: int) -> list[Expected]:
    rects = oracle.strip("right", len(strip), WIDTH, HEIGHT)
    tiles = [camera(n, rect) for n, rect in zip(strip, rects, strict=True)]
    if sharer is not None:
        stage = Watch(oracle.stage("right", WIDTH, HEIGHT), Size(1280, 720), Fit.CONTAIN)
        tiles.append(Expected(Sighting(sharer, is_screen=True), stage))
    return tiles


def first_frame(at_s: float) -> int:
    return math.ceil(at_s * FPS - 1e-9)


def check(recording, plan: dict[float, list[Expected]]) -> None:
    """*plan*: from when on which tiles. New ones may take a moment to fill, old ones may not."""
    starts = {first_frame(at_s): tiles for at_s, tiles in plan.items()}
    current: list[Expected] = []
    filled_from: dict[Sighting, int] = {}
    judged = 0
    for number, planes in enumerate(recording.frames()):
        if number in starts:
            shown = {tile.who for tile in current}
            current = starts[number]
            for tile in current:
                if tile.who not in shown:
                    filled_from[tile.who] = number + WARM_UP_FRAMES
        for tile in current:
            if number < filled_from[tile.who]:
                continue
            reading = read_tile(planes, tile.watch)
            assert reading.counter is not None, f"frame {number}: {tile.who} is not whole"
            assert recognise(reading.corners) == tile.who, f"frame {number}"
            judged += 1
    assert judged > 500


# Joins and shares lie on whole seconds, where the loops of the synthetic people have keyframes.
PEOPLE = "".join(
    f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n}\n{extra}\n'
    for n, extra in enumerate(["leave_s = 6.5", "", "join_s = 2", "join_s = 4", "join_s = 4"])
)


def test_joining_and_leaving_never_tears_a_gallery(tmp_path):
    back = '[[events]]\nat_s = 8\nuser_id = "user-0"\ndo = "rejoin"\n'

    done = rehearse(tmp_path, PEOPLE + back, seconds=10.5)

    check(
        done.recording,
        {
            0.0: gallery(0, 1),
            2.0: gallery(0, 1, 2, None)[:3],
            4.0: gallery(0, 1, 2, 3, 4, None),
            6.5: gallery(1, 2, 3, 4),
            8.0: gallery(1, 2, 3, 4, 0, None),
        },
    )


def test_sharing_and_stopping_never_tears_the_stage(tmp_path):
    events = """
[[events]]
at_s = 1
user_id = "user-1"
do = "share_screen"
[[events]]
at_s = 3
user_id = "user-2"
do = "share_screen"
[[events]]
at_s = 5.5
user_id = "user-2"
do = "stop_screen"
[[events]]
at_s = 7.5
user_id = "user-1"
do = "stop_screen"
"""
    done = rehearse(tmp_path, PEOPLE + events, layout="screen_share_right", seconds=9)

    check(
        done.recording,
        {
            0.0: share(None, 0, 1),
            1.0: share(1, 0, 1),
            2.0: share(1, 0, 1, 2),
            3.0: share(2, 0, 1, 2),
            4.0: share(2, 0, 1, 2, 3, 4),
            5.5: share(1, 0, 1, 2, 3, 4),
            6.5: share(1, 1, 2, 3, 4),
            7.5: share(None, 1, 2, 3, 4),
        },
    )


@pytest.mark.parametrize("layout", ["nine_grids_view", "screen_share_left"])
def test_a_muted_camera_gives_way_to_the_name_and_comes_back(tmp_path, layout):
    scenario = """
[[participants]]
user_id = "user-0"
colour = 0
[[participants]]
user_id = "user-1"
colour = 1
[[events]]
at_s = 2.5
user_id = "user-0"
do = "mute_camera"
[[events]]
at_s = 4.5
user_id = "user-0"
do = "unmute_camera"
"""
    done = rehearse(tmp_path, scenario, layout=layout, seconds=7)

    rects = (
        oracle.gallery(2, WIDTH, HEIGHT)
        if layout == "nine_grids_view"
        else oracle.strip("left", 2, WIDTH, HEIGHT)
    )
    history = done.recording.watch({n: Watch(rect) for n, rect in enumerate(rects)})
    assert None not in history[0].counters[10:75]
    assert set(history[0].counters[75:135]) == {None}
    assert None not in history[0].counters[150:]
    assert None not in history[1].counters[10:]
