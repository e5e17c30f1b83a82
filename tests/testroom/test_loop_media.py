from pathlib import Path

import pytest

from worker.core.identity import Source
from worker.testroom import loop_media
from worker.testroom.loop_cache import LoopCache
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.person import Person
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.voice import Voice, VoiceMode

SCENARIO = """
loop_s = 1
[defaults.camera]
width = 64
height = 64
fps = 10
[defaults.screen]
width = 64
height = 64
[[participants]]
user_id = "ada"
[[participants]]
user_id = "bob"
camera = { live = true }
[[events]]
at_s = 1
user_id = "bob"
do = "share_screen"
"""


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every loop that is really encoded."""
    done: list[str] = []
    for name in ("encode_video_loop", "encode_opus_loop"):
        real = getattr(loop_media, name)

        def noted(*arguments, real=real, name=name):
            done.append(name)
            return real(*arguments)

        monkeypatch.setattr(loop_media, name, noted)
    return done


def test_everything_that_is_replayed_is_built_once_and_live_feeds_are_not(builds: list[str]):
    library = LoopLibrary(None)
    library.prepare(parse_scenario(SCENARIO))
    library.prepare(parse_scenario(SCENARIO))

    # ada's camera, bob's screen; speech and silence of both.
    assert sorted(builds) == ["encode_opus_loop"] * 4 + ["encode_video_loop"] * 2


def test_loops_come_from_disk_the_second_time(tmp_path: Path, builds: list[str]):
    LoopLibrary(LoopCache(tmp_path)).prepare(parse_scenario(SCENARIO))
    builds.clear()

    LoopLibrary(LoopCache(tmp_path)).prepare(parse_scenario(SCENARIO))

    assert builds == []


def test_changed_drawing_does_not_play_old_loops(
    tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
):
    LoopLibrary(LoopCache(tmp_path)).prepare(parse_scenario(SCENARIO))
    builds.clear()
    monkeypatch.setattr(loop_media, "_recipe_digest", lambda: "another recipe")

    LoopLibrary(LoopCache(tmp_path)).prepare(parse_scenario(SCENARIO))

    assert len(builds) == 6


def test_loops_have_a_unit_for_every_frame_and_block():
    scenario = parse_scenario(SCENARIO)
    ada = scenario.actors[0]
    assert ada.camera is not None
    library = LoopLibrary(None)

    video = library.video(picture_of(ada.person, Source.CAMERA, ada.camera, 1), ada.camera)
    audio = library.audio(Voice(VoiceMode.BEEP, -20), ada.person, 1)

    assert len(video) == 10
    assert video[0].keyframe
    assert len(audio) == 50
    assert [unit.level_dbov for unit in audio] == [-20] * 5 + [-127] * 45


def test_two_people_get_two_loops():
    library = LoopLibrary(None)
    voice = Voice(VoiceMode.TONE)

    assert library.audio(voice, Person(0, "a"), 1) != library.audio(voice, Person(1, "a"), 1)
