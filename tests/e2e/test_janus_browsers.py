"""Real browsers in a real Janus: who is where, in sync, with layers that fit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import hearing, oracle, seeing
from tests.support.browser import chromium
from tests.support.janus import URL, janus_server
from tests.support.janus_browser import janus_page, publishing, yuv_of
from tests.support.live import document, worker
from tests.support.look import Recording
from tests.support.namespace import network_namespace
from tests.support.seeing import mean_colour
from worker.core.layout.geometry import Rect
from worker.core.planes import VideoPlanes

FPS = 30
MIX = {"encode_template": "640x480_30_1000"}
COLOURS = {"Ann": "#a03030", "Ben": "#30a030", "Cai": "#3030a0"}
SCREEN = "#a0a030"
TONES = {"Ann": 700, "Ben": 1100, "Cai": 1500}


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


def options(name: str, **more: object) -> dict[str, object]:
    phase = 0.3 * list(COLOURS).index(name)
    return {"colour": COLOURS[name], "tone": TONES[name], "phase": phase, "width": 320, **more}


def job(directory: Path, name: str, layout: str, seconds: float) -> dict[str, Any]:
    return document(
        directory,
        "",
        name,
        mix=MIX | {"layout_template": layout},
        room={"kind": "janus", "url": URL, "room": 1234, "user_id": "display"},
        max_duration_s=seconds,
    )


def who_is_in(planes: VideoPlanes, rect: Rect) -> str | None:
    """The colour that fills *rect*: a name, "screen", "flash" or None for anything else."""
    seen = np.asarray(mean_colour(planes, rect, inset=0.15))
    if seen[0] > 215 and abs(seen[1] - 128) < 12 and abs(seen[2] - 128) < 12:
        return "flash"
    known = {name: yuv_of(colour) for name, colour in (COLOURS | {"screen": SCREEN}).items()}
    name, distance = min(
        ((name, float(np.abs(seen - colour).max())) for name, colour in known.items()),
        key=lambda found: found[1],
    )
    return name if distance < 20 else None


def offsets_s(recording: Recording, rect: Rect, name: str, start_s: float) -> np.ndarray:
    """Flash minus beep of one person, s, from *start_s* on."""
    flashes = [who_is_in(planes, rect) == "flash" for planes in recording.frames()]
    flashes_s = seeing.flash_times(flashes, FPS)
    beeps_s = hearing.beep_onsets(hearing.mono(recording.sound()), TONES[name])
    return seeing.av_offsets(flashes_s, beeps_s[beeps_s > start_s])


def by_user(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    presences: dict[str, list[dict[str, Any]]] = {}
    for participant in result["participants"]:
        presences.setdefault(participant["user_id"], []).append(participant)
    return presences


@pytest.mark.timeout(200)
async def test_three_browsers_one_sharing_one_returning_one_late(tmp_path: Path) -> None:
    seconds = 30
    async with (
        janus_server(tmp_path / "janus"),
        janus_page() as page,
        chromium() as browser,
        publishing(browser, page, "Ann", **options("Ann")) as ann,
        publishing(browser, page, "Ben", **options("Ben")) as ben,
        worker(job(tmp_path, "gallery", "nine_grids_view", seconds)) as gallery,
        worker(job(tmp_path, "stage", "screen_share_left", seconds)) as stage,
    ):
        await stage.recorded(5)
        await ann.share(SCREEN)
        await stage.recorded(9)
        async with publishing(browser, page, "Cai", **options("Cai")):
            await stage.recorded(14)
            await ben.leave()
            await stage.recorded(18)
            async with publishing(browser, page, "Ben", **options("Ben")):
                assert await gallery.ended() == 0, gallery.said
                assert await stage.ended() == 0, stage.said

    for recorder in (gallery, stage):
        recording, presences = recorder.recording, by_user(recorder.result)
        assert recording.decode_errors() == ""
        assert recording.video.packets == seconds * FPS
        assert {user: len(times) for user, times in presences.items()} == {
            "Ann": 1,
            "Ben": 2,
            "Cai": 1,
        }
        assert {track["source"] for track in presences["Ann"][0]["tracks"]} == {
            "camera",
            "microphone",
            "screen",
        }

    frames = list(gallery.recording.frames())
    presences = by_user(gallery.result)
    tiles = oracle.gallery(3, 640, 480)
    before_leaving = frames[round((presences["Ben"][0]["left_s"] - 0.4) * FPS)]
    assert {who_is_in(before_leaving, tile) for tile in tiles} <= {"Ann", "Ben", "Cai", "flash"}
    assert who_is_in(frames[-20], tiles[0]) in ("Ann", "flash")
    # Two people need one row less, so Cai moved up when Ben left.
    assert {who_is_in(planes, tiles[1]) for planes in frames[-60:]} == {"Cai", "flash"}
    assert {who_is_in(planes, tiles[2]) for planes in frames[-60:]} == {"Ben", "flash"}

    # Stage: the shared screen, complete; the sharer's camera stays in the strip.
    frames = list(stage.recording.frames())
    place = oracle.stage("left", 640, 480)
    strip = oracle.strip("left", 3, 640, 480)
    band = Rect(place.x, 130, place.width, 200)  # 16:9 in 480x480 has bars above and below
    assert {who_is_in(planes, band) for planes in frames[-300:]} == {"screen"}
    last = [{who_is_in(planes, tile) for planes in frames[-60:]} for tile in strip]
    assert [seen - {"flash"} for seen in last] == [{"Ann"}, {"Cai"}, {"Ben"}]

    # These quarters of the canvas are theirs with two people as with three.
    for name, tile in zip(("Ann", "Cai"), tiles[:2], strict=True):
        offsets = offsets_s(gallery.recording, tile, name, 16)
        print(name, "flash minus beep, ms:", np.round(1000 * offsets))
        assert len(offsets) >= 8
        # Half a frame is the grid on which a flash can be seen at all. Browsers that are short of
        # CPU hand in frames late; what the recorder adds is judged with marked media.
        assert np.quantile(np.abs(offsets), 0.75) <= 0.045 + 1 / (2 * FPS)
