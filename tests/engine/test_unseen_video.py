"""Videos nobody sees: not asked for, not decoded, not looked at; and asked for in good time."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.fakes.room import camera, frame, person
from tests.support.jobs import SPEC, at, run, stop_at
from worker.core.demand import LINGER_NS
from worker.core.identity import Kind, ParticipantId, Source, Track, TrackId, UserId
from worker.core.layout.geometry import Size
from worker.core.spec import CustomLayout, Pane, ScreenShareLayout, Side, StagePolicy
from worker.engine.ingest import VideoIngest
from worker.engine.job import JobOptions
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)

LINGER_S = LINGER_NS / 1e9 + JobOptions().max_playout_delay_ms / 1e3
WHOLE, HALF = Size(640, 480), Size(320, 480)
QUARTER = Size(320, 240)


def joined(name: str, at_s: float = 0.0):
    return [(at_s, ParticipantJoined(person(name))), (at_s, TrackPublished(camera(name)))]


def screen(name: str) -> Track:
    return Track(TrackId(f"{name}/screen"), ParticipantId(f"p-{name}"), Kind.VIDEO, Source.SCREEN)


def only(name: str, *, under: str | None = None):
    """A layout of one pane, and one below it that it covers whole."""
    names = [name] if under is None else [under, name]
    panes = [
        Pane(n, UserId(each), Source.CAMERA, x=0.25 * (each != name), y=0, width=0.5, height=1)
        for n, each in enumerate(names)
    ]
    top = replace(panes[-1], x=0.0, width=1.0)
    return replace(SPEC.mix, layout=CustomLayout((*panes[:-1], top)))


def told_at(moments: dict[float, object]):
    """For `during`: what the room was last told at each of *moments*, s."""

    def plan(job) -> None:
        for at_s in list(moments):
            at(
                at_s,
                lambda job, at_s=at_s: moments.__setitem__(
                    at_s, job.room.wanted_videos[-1] if job.room.wanted_videos else None
                ),
            )(job)

    return plan


def together(*plans):
    return lambda job: [plan(job) for plan in plans] and None


def test_a_video_is_asked_for_when_it_is_published_not_when_it_is_shown():
    moments = {0.99: None, 1.01: None, 2.01: None}

    done = run(
        SPEC,
        joined("ada", 1.0) + joined("bob", 2.0),
        during=together(told_at(moments), stop_at(3.0)),
    )

    assert moments == {
        0.99: {},
        1.01: {"ada/camera": WHOLE},
        # The tile is half as large now, but the large one is on show for a playout delay still.
        2.01: {"ada/camera": WHOLE, "bob/camera": HALF},
    }
    assert [len(canvas.scene.tiles) for canvas in done.canvases[::30]] == [0, 1, 2]
    assert len(done.room.wanted_videos) == 3, "told when it changes, and only then"


@pytest.mark.parametrize("under", [None, "ada"])
def test_what_a_new_layout_does_not_show_is_given_up_a_while_later(under):
    moments = {2.01: None, 2 + LINGER_S - 0.1: None, 2 + LINGER_S + 0.2: None}

    run(
        SPEC,
        joined("ada") + joined("bob"),
        during=together(
            told_at(moments),
            at(2.0, lambda job: job.update(only("bob", under=under))),
            stop_at(10.0),
        ),
    )

    assert list(moments.values()) == [
        {"ada/camera": WHOLE, "bob/camera": WHOLE},
        {"ada/camera": WHOLE, "bob/camera": WHOLE},
        {"bob/camera": WHOLE},
    ]


def test_a_muted_camera_is_paused_after_a_while_and_asked_for_the_moment_it_is_not_muted():
    back_s = 2 + LINGER_S + 2
    moments = {2.01: None, back_s - 0.01: None, back_s + 0.01: None}
    mutes = [
        (2.0, TrackMuted(TrackId("ada/camera"), muted=True)),
        (back_s, TrackMuted(TrackId("ada/camera"), muted=False)),
    ]

    run(SPEC, joined("ada") + mutes, during=together(told_at(moments), stop_at(back_s + 1)))

    assert list(moments.values()) == [{"ada/camera": WHOLE}, {}, {"ada/camera": WHOLE}]


def test_a_job_of_sound_alone_asks_for_no_video_at_all():
    done = run(
        replace(SPEC, mix=replace(SPEC.mix, template=None)), joined("ada"), during=stop_at(2.0)
    )

    assert done.room.wanted_videos == [{}]


def test_a_new_sharer_is_asked_for_at_once_and_the_stage_changes_on_the_frame():
    layout = ScreenShareLayout(Side.LEFT, StagePolicy.SHARED_SCREEN)
    spec = replace(SPEC, mix=replace(SPEC.mix, layout=layout))
    moments = {1.01: None, 2.01: None, 3.01: None}
    shares = [
        (1.0, TrackPublished(screen("ada"))),
        (2.0, TrackPublished(screen("bob"))),
        (3.0, TrackEnded(screen("bob").track_id)),
        (4.0, TrackEnded(screen("ada").track_id)),
    ]

    done = run(
        spec,
        joined("ada") + joined("bob") + shares,
        during=together(told_at(moments), stop_at(5.0)),
    )

    stage = Size(480, 480)
    assert moments[1.01]["ada/screen"] == stage
    assert moments[2.01]["bob/screen"] == stage
    assert moments[3.01]["ada/screen"] == stage, "it never left"
    on_stage = [canvas.scene.tiles[0].track_id for canvas in done.canvases]
    expected = [None] * 30 + ["ada/screen"] * 30 + ["bob/screen"] * 30 + ["ada/screen"] * 30
    assert on_stage == expected + [None] * 30


def test_a_video_that_comes_into_sight_again_begins_in_its_first_frame():
    """A sender whose only keyframe is long ago, in a room that cannot pause it."""
    names = [(n, n / 10, n == 0) for n in range(1, 120)]
    frames = [(s, frame("ada", n, s, keyframe=k)) for n, s, k in names]
    # Asked at 8 s, the sender's answer is there a moment later.
    frames = [(s, replace(f, keyframe=f.keyframe or s == 8.1)) for s, f in frames]
    frames[0] = (0.1, frame("ada", 1, 0.1))

    done = run(
        SPEC,
        [*joined("ada"), *joined("bob"), *frames],
        during=together(
            at(1.0, lambda job: job.update(only("bob"))),
            at(8.0, lambda job: job.update(only("ada"))),
            stop_at(10.0),
        ),
    )

    assert done.room.keyframe_requests.count("ada/camera") >= 1
    shown = [canvas.pictures.get("ada/camera") for canvas in done.canvases]
    assert shown[100] is None
    first = next(tick for tick in range(240, 300) if shown[tick] is not None)
    assert first <= 8.1 * 30, "no later than the answer"


def test_only_what_is_shown_is_decoded_and_the_rest_is_hardly_looked_at(monkeypatch):
    calls: Counter[str] = Counter()
    for name in ("show", "hide"):
        monkeypatch.setattr(VideoIngest, name, counted(calls, name, getattr(VideoIngest, name)))
    crowd = [f"user-{n}" for n in range(100)]
    script = [event for name in crowd for event in joined(name)]
    script += [
        (n / 10, frame(name, n, n / 10, keyframe=n % 10 == 1))
        for n in range(1, 40)
        for name in crowd
    ]

    done = run(SPEC, script, during=stop_at(4.0))

    decoded = {key: ingest.frames_decoded for key, ingest in done.job.intake.video.items()}
    assert len(decoded) == 100
    assert {key for key, frames in decoded.items() if frames} == {
        f"user-{n}/camera" for n in range(25)
    }
    assert calls["show"] == 25 * 120
    assert calls["hide"] <= 75 * 5, "once a second"
    queues = [len(done.job.intake.video[TrackId(f"{name}/camera")]._queue) for name in crowd[25:]]
    assert max(queues) <= 30, "what waits is the room's last second or two"
    assert set(done.room.wanted_videos[-1]) == {f"user-{n}/camera" for n in range(25)}


def counted(calls, name, method):
    def call(self, room_ns):
        calls[name] += 1
        return method(self, room_ns)

    return call


def test_who_left_is_given_up_like_who_is_not_seen():
    left = [(2.0, ParticipantLeft(person("ada").participant_id))]
    moments = {2.01: None, 2 + LINGER_S + 0.2: None}

    run(
        SPEC,
        joined("ada") + joined("bob") + left,
        during=together(told_at(moments), stop_at(10.0)),
    )

    assert moments[2.01] == {"ada/camera": WHOLE, "bob/camera": WHOLE}
    assert moments[2 + LINGER_S + 0.2] == {"bob/camera": WHOLE}
