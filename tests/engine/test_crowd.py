"""Many people, and people who come and go: who is seen, who can be heard, what is left of them."""

import gc
import random
from dataclasses import replace
from functools import cache
from math import ceil

import numpy as np
import pytest

from tests.fakes.media import FakeKit
from tests.fakes.room import camera, frame, person
from tests.support.jobs import SPEC, run, stop_at
from worker.core.identity import (
    Codec,
    Kind,
    Participant,
    ParticipantId,
    Source,
    Track,
    TrackId,
    UserId,
)
from worker.media.opus import OpusDecoder
from worker.media.opus_loop import encode_opus_loop
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    TrackMuted,
    TrackPublished,
)

FPS = 30


class HearingKit(FakeKit):
    """Pictures are numbers still, sound is real."""

    def audio_decoder(self) -> OpusDecoder:
        return OpusDecoder()


def microphone(name: str) -> Track:
    return Track(TrackId(f"{name}/mic"), ParticipantId(f"p-{name}"), Kind.AUDIO, Source.MICROPHONE)


def joined(name: str, at_s: float, *tracks: Track):
    return [
        (at_s, ParticipantJoined(person(name))),
        *((at_s, TrackPublished(track)) for track in tracks),
    ]


def left(name: str, at_s: float):
    return (at_s, ParticipantLeft(person(name).participant_id))


@cache
def speech() -> tuple[bytes, ...]:
    """A second of something loud that comes and goes like syllables."""
    t = np.arange(48_000) / 48_000
    tones = sum(np.sin(2 * np.pi * hz * t) for hz in (220, 660, 1100)) / 6
    return encode_opus_loop((tones * (0.6 + 0.4 * np.sin(8 * np.pi * t))).astype(np.float32), 32)


def spoken(name: str, from_s: float, to_s: float):
    packets = speech()
    for number in range(round(from_s * 50), round(to_s * 50)):
        yield (
            number / 50,
            EncodedFrame(
                track_id=microphone(name).track_id,
                codec=Codec.OPUS,
                epoch=0,
                rtp_timestamp=number * 960,
                arrival_ns=number * 20_000_000,
                keyframe=True,
                data=packets[number % len(packets)],
                level_dbov=-20,
            ),
        )


def filmed(name: str, from_s: float, to_s: float, fps: int = 10):
    """A camera that begins with a keyframe, and sends another one each second."""
    first = ceil(from_s * fps)
    for number in range(first, round(to_s * fps)):
        is_keyframe = number == first or number % fps == 0
        yield number / fps, frame(name, number, number / fps, keyframe=is_keyframe)


def in_order(*parts):
    return sorted((item for part in parts for item in part), key=lambda item: item[0])


def seated(canvas) -> list[str]:
    """Users by where their tile lies, row by row."""
    tiles = sorted(canvas.scene.tiles, key=lambda tile: (tile.rect.y, tile.rect.x))
    return [tile.user_id for tile in tiles]


# --- the 26th, the 100th, the 500th ---------------------------------------------------------


def test_of_500_the_first_25_are_seen_and_a_leavers_place_goes_to_whoever_waits_longest():
    crowd = [f"user-{n}" for n in range(500)]
    script = [item for name in crowd for item in joined(name, 0.0, camera(name))]
    order = random.Random(7)
    present, expected = list(crowd), [list(crowd[:25])]
    seats = list(crowd[:25])
    for second in range(1, 400):
        # Anybody may leave: who sits, who waits, the 500th.
        name = present.pop(order.randrange(60) % len(present))
        script.append(left(name, second / FPS))
        if name in seats:
            waiting = [each for each in present if each not in seats]
            seats[seats.index(name)] = waiting[0]
        expected.append(list(seats))

    done = run(SPEC, script, during=stop_at(400 / FPS))

    assert [seated(canvas) for canvas in done.canvases] == expected
    assert set(done.room.wanted_videos[-1]) >= {f"{name}/camera" for name in seats}


@pytest.mark.parametrize("number", [26, 100, 500])
def test_who_is_not_shown_is_heard_all_the_same(number):
    crowd = [f"user-{n}" for n in range(number)]
    speaker = crowd[-1]
    script = [item for name in crowd for item in joined(name, 0.0, camera(name), microphone(name))]

    done = run(SPEC, [*script, *spoken(speaker, 0.5, 3.0)], kit=HearingKit(), during=stop_at(4.0))

    assert done.error is None
    assert speaker not in seated(done.canvases[60])
    turns = done.job.sound.turns()
    assert list(turns) == [f"p-{speaker}"]
    assert turns[ParticipantId(f"p-{speaker}")][0][0] < 1.0


def test_25_who_join_within_a_second_are_all_seen_as_soon_as_they_send():
    crowd = [f"user-{n}" for n in range(25)]
    script = in_order(
        *(joined(name, n / 25, camera(name)) for n, name in enumerate(crowd)),
        *(filmed(name, n / 25, 3.0) for n, name in enumerate(crowd)),
    )
    done = run(SPEC, script, during=stop_at(3.0))

    assert seated(done.canvases[30]) == crowd
    shown = [len(canvas.pictures) for canvas in done.canvases]
    assert shown.index(25) <= 33, "the last one joined at 0.96 s, its first frame came by 1.0 s"
    assert set(shown[33:]) == {25}
    assert done.job.video is not None
    assert (done.job.video.counters.late, done.job.video.counters.duplicated) == (0, 0)
    assert done.room.keyframe_requests == []


# --- coming and going -----------------------------------------------------------------------


def test_a_camera_muted_and_unmuted_100_times_keeps_its_place_and_leaves_nothing_behind():
    cycle_s = 0.4
    mutes = [
        (0.5 + cycle * cycle_s + half * cycle_s / 2, TrackMuted(camera("ada").track_id, half == 0))
        for cycle in range(100)
        for half in range(2)
    ]
    end_s = 0.5 + 100 * cycle_s + 1
    script = in_order(
        joined("ada", 0.0, camera("ada")),
        joined("bob", 0.0, camera("bob")),
        filmed("ada", 0.1, end_s, fps=30),
        filmed("bob", 0.1, end_s, fps=30),
        mutes,
    )

    done = run(SPEC, script, during=stop_at(end_s))

    for tick, canvas in enumerate(done.canvases):
        assert seated(canvas) == ["ada", "bob"]
        since_ms = round(tick * 1000 / FPS) - 500
        phase_ms = since_ms % 400
        if 0 <= since_ms < 100 * 400 and phase_ms < 200:
            assert "ada/camera" not in canvas.pictures, f"muted in frame {tick}"
        elif tick > 5 and (since_ms < -40 or phase_ms > 300):
            assert "ada/camera" in canvas.pictures, f"not muted in frame {tick}"
        if tick > 5:
            newest = canvas.pictures["bob/camera"].number
            assert abs(newest - tick) <= 1, "the other one is in time throughout"
    ingest = done.job.intake.video[camera("ada").track_id]
    assert done.canvases[-1].pictures["ada/camera"].number >= round(end_s * FPS) - 2
    assert len(ingest._queue) + len(ingest._playout) < 40
    assert len(done.job.intake.video) == 2
    assert done.room.keyframe_requests.count("ada/camera") == 0


def test_a_user_who_rejoins_200_times_has_one_tile_and_it_is_the_newest_sessions():
    """The old session is listed for half the life of the new one still."""
    cycle_s, overlap_s = 0.3, 0.15

    def session(number: int):
        key = ParticipantId(f"ada#{number}")
        at_s = 0.2 + number * cycle_s
        track = Track(TrackId(f"ada#{number}/camera"), key, Kind.VIDEO, Source.CAMERA)
        yield at_s, ParticipantJoined(Participant(key, UserId("ada"), "Ada"))
        yield at_s, TrackPublished(track)
        for n in range(13):
            sent_s = at_s + n / 30
            yield (
                sent_s,
                replace(
                    frame("ada", n, sent_s, keyframe=n == 0),
                    track_id=track.track_id,
                    data=str(number * 100 + n).encode(),
                ),
            )
        yield at_s + cycle_s + overlap_s, ParticipantLeft(key)

    script = in_order(
        joined("bob", 0.0, camera("bob")), *(session(number) for number in range(200))
    )
    end_s = 0.2 + 200 * cycle_s

    done = run(SPEC, script, during=stop_at(end_s + 10))

    for tick, canvas in enumerate(done.canvases[: round(end_s * FPS)]):
        if tick < 7:
            continue
        assert sorted(seated(canvas)) == ["ada", "bob"]
        number = int((tick / FPS - 0.2 + 1e-6) / cycle_s)
        (tile,) = [tile for tile in canvas.scene.tiles if tile.user_id == "ada"]
        assert tile.track_id == f"ada#{number}/camera", f"frame {tick}"
        picture = canvas.pictures.get(tile.track_id)
        since_s = tick / FPS - 0.2 - number * cycle_s
        assert picture is not None or since_s < 0.101, f"frame {tick}"
    # What is gone is forgotten, but for the result.
    gc.collect()
    assert set(done.job.intake.video) <= {"bob/camera"}
    assert seated(done.canvases[-1]) == ["bob"]
    assert len(done.job.intake.entries()) == 201


def test_sound_alone_and_video_alone_have_a_tile_each():
    script = in_order(
        joined("ear", 0.0, microphone("ear")),
        joined("eye", 0.0, camera("eye")),
        [(0.0, ParticipantJoined(person("none")))],
        spoken("ear", 0.2, 2.5),
        filmed("eye", 0.1, 2.5, fps=30),
    )

    done = run(SPEC, script, kit=HearingKit(), during=stop_at(3.0))

    assert done.error is None
    canvas = done.canvases[45]
    assert seated(canvas) == ["ear", "eye"], "who publishes nothing has none"
    ear, eye = canvas.scene.tiles
    assert (ear.track_id, ear.label) == (None, "Ear"), "a placeholder"
    assert set(canvas.pictures) == {eye.track_id}
    assert list(done.job.sound.turns()) == ["p-ear"]
