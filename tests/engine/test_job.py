"""A job in virtual time with in-memory media: what ends it, what it survives, what it leaves."""

import asyncio
from dataclasses import replace

import pytest

from tests.fakes.media import FakeKit
from tests.fakes.room import camera, frame, person
from tests.fakes.sink import FakeSink
from tests.support.jobs import SPEC, Run, run, stop_at
from worker.core.lifecycle import State, StopReason
from worker.engine.report import report
from worker.errors import RoomError, RoomRefused
from worker.ports import (
    PacketSource,
    ParticipantJoined,
    ParticipantLeft,
    Program,
    RoomDisconnected,
    TrackPublished,
)


class SlowSink(FakeSink):
    """Takes its first packets only after two seconds."""

    async def run(self, program: Program, packets: PacketSource) -> None:
        await asyncio.sleep(2)
        await super().run(program, packets)


HERE = (0.0, ParticipantJoined(person("ada")))


def test_a_stop_ends_the_recording_at_that_instant_of_the_room():
    sink = FakeSink()

    done = run(SPEC, [HERE], [sink], during=stop_at(3.0))

    assert done.error is None
    assert done.job.lifecycle.reason is StopReason.TENANT_STOP
    assert sink.finished
    assert sink.video_pts == list(range(90))
    assert done.kit.audio_encoders[0].samples == 3 * 48_000
    assert done.room.was_left


def test_a_drain_takes_little_more_than_the_playout_delay():
    done = run(SPEC, [HERE], [FakeSink()], during=stop_at(3.0))

    assert 3.59 <= done.ended_s <= 3.9


def test_a_duration_gives_exactly_so_many_frames():
    sink = FakeSink()

    run(replace(SPEC, max_duration_s=2.5), [HERE], [sink])

    assert sink.video_pts == list(range(75))


@pytest.mark.parametrize("idle_s", [5, 30])
def test_an_empty_room_ends_the_job_within_a_second_of_its_idle_time(idle_s):
    spec = replace(SPEC, mix=replace(SPEC.mix, max_idle_s=idle_s))

    done = run(spec, [HERE, (2.0, ParticipantLeft(person("ada").participant_id))], [FakeSink()])

    assert done.job.lifecycle.reason is StopReason.MAX_IDLE
    assert done.job.recorded_ns / 1e9 == pytest.approx(2.0 + idle_s, abs=0.2)
    assert done.ended_s <= 2.0 + idle_s + 1.0


def test_a_room_whose_signalling_is_down_is_not_idle():
    script = [
        (1.0, RoomDisconnected("socket closed")),
        (1.5, ParticipantLeft(person("ada").participant_id)),
    ]

    done = run(SPEC, [HERE, *script], [FakeSink()])

    assert done.job.lifecycle.reason is StopReason.ROOM_LOST
    assert done.ended_s >= 11.5


def test_a_room_that_never_answers_is_an_error_and_leaves_no_frames():
    sink = FakeSink()

    done = run(SPEC, [], [sink], connects=False)

    assert isinstance(done.error, RoomError)
    assert done.ended_s == pytest.approx(10, abs=0.2)
    assert sink.packets == []
    assert done.job.lifecycle.state is State.STOPPED


def test_a_refusal_ends_the_job_at_once():
    done = run(SPEC, [(0.5, RoomRefused("wrong pin"))], [FakeSink()], connects=False)

    assert done.job.lifecycle.reason is StopReason.ROOM_REFUSED
    assert "wrong pin" in str(done.error)
    assert done.ended_s < 1


def test_a_stop_before_the_room_answered_ends_without_a_recording():
    done = run(SPEC, [], [FakeSink()], connects=False, during=stop_at(1.0))

    assert done.error is None
    assert done.ended_s < 1.2


def test_a_dead_sink_does_not_stop_the_others():
    dead = FakeSink("dead", fail_after=10)
    alive = FakeSink("alive")

    done = run(SPEC, [HERE], [dead, alive], during=stop_at(3.0))

    assert done.error is None
    assert alive.video_pts == list(range(90))
    assert dead.cut_short


def test_a_sink_that_fell_behind_is_told_in_the_result(monkeypatch):
    monkeypatch.setattr("worker.engine.delivery.QUEUE_PACKETS", 25)
    slow, quick = SlowSink("slow"), FakeSink("quick")

    done = run(SPEC, [HERE], [slow, quick], during=stop_at(3.0))

    errors = {output["name"]: output["error"] for output in report(done.job)["outputs"]}
    assert "fell behind" in errors["slow"]
    assert errors["quick"] is None
    assert quick.video_pts == list(range(90))


def test_an_abort_cancels_the_sinks_and_says_so():
    sink = FakeSink()

    done = run(SPEC, [HERE], [sink], cancel_at_s=2.0)

    assert isinstance(done.error, asyncio.CancelledError)
    assert done.job.was_aborted
    assert sink.cut_short
    assert done.room.was_left
    assert report(done.job)["aborted"] is True


def test_a_join_changes_the_picture_of_its_own_instant():
    """Joined at 1 s of room time: frame 30 is the first that shows the tile."""
    script = [
        (1.0, ParticipantJoined(person("ada"))),
        (1.0, TrackPublished(camera("ada"))),
    ]

    done = run(SPEC, script, [FakeSink()], during=stop_at(2.0))

    canvases = done.kit.video_encoders[0].canvases
    assert [len(canvas.scene.tiles) for canvas in canvases] == [0] * 30 + [1] * 30


def test_pictures_are_shown_at_the_frame_of_their_capture():
    joined = [(0.0, ParticipantJoined(person("ada"))), (0.0, TrackPublished(camera("ada")))]
    frames = [(n / 10, frame("ada", n, n / 10)) for n in range(1, 20)]

    done = run(SPEC, joined + frames, [FakeSink()], during=stop_at(2.0))

    shown = [
        next(iter(canvas.pictures.values())).number if canvas.pictures else None
        for canvas in done.kit.video_encoders[0].canvases
    ]
    # A source of 10 fps on a canvas of 30 fps: each picture three times, from its own frame on.
    assert shown == [None] * 3 + [n for n in range(1, 20) for _ in range(3)]


BROKEN = [
    (0.0, ParticipantJoined(person("ada"))),
    (0.0, TrackPublished(camera("ada"))),
    (0.1, frame("ada", 1, 0.1)),
    (0.2, replace(frame("ada", 0, 0.2, keyframe=False), data=b"broken")),
    (0.25, frame("ada", 3, 0.25, keyframe=False)),
]


def numbers_shown(done: Run) -> list[int]:
    canvases = done.kit.video_encoders[0].canvases
    return sorted({p.number for canvas in canvases for p in canvas.pictures.values()})


def test_after_a_frame_that_cannot_be_decoded_only_a_keyframe_is():
    done = run(SPEC, [*BROKEN, (0.3, frame("ada", 5, 0.3))], [FakeSink()], during=stop_at(1.0))

    assert numbers_shown(done) == [1, 5]
    assert done.room.keyframe_requests == [], "the next keyframe was there already"


def test_a_keyframe_is_asked_for_when_none_follows_a_broken_frame():
    done = run(SPEC, [*BROKEN, (1.5, frame("ada", 15, 1.5))], [FakeSink()], during=stop_at(2.0))

    assert numbers_shown(done) == [1, 15]
    assert done.room.keyframe_requests == ["ada/camera"]


def test_every_canvas_is_given_back_exactly_once():
    done = run(SPEC, [HERE], [FakeSink()], during=stop_at(2.0))

    assert {canvas.released for canvas in done.kit.video_encoders[0].canvases} == {1}


def test_an_audio_only_job_records_sound_alone():
    sink = FakeSink()
    spec = replace(SPEC, mix=replace(SPEC.mix, template=None))

    done = run(spec, [HERE], [sink], during=stop_at(2.0))

    assert sink.program is not None
    assert sink.program.video is None
    assert sink.video_pts == []
    assert done.kit.audio_encoders[0].samples == 2 * 48_000
    assert report(done.job)["video"] is None


def test_a_broken_image_is_a_warning_and_not_the_end(monkeypatch):
    monkeypatch.setattr(FakeKit, "warnings", ("file:///no.png cannot be read",))
    sink = FakeSink()

    done = run(SPEC, [HERE], [sink], during=stop_at(1.0))

    assert report(done.job)["warnings"] == ["file:///no.png cannot be read"]
    assert sink.video_pts == list(range(30))


def test_the_report_says_who_was_there_and_when():
    script = [HERE, (1.0, ParticipantLeft(person("ada").participant_id))]

    done = run(SPEC, script, [FakeSink()], during=stop_at(2.0))

    facts = report(done.job)
    assert facts["reason"] == "tenant_stop"
    assert facts["duration_s"] == 2.0
    assert facts["video"]["frames"] == 60
    assert facts["participants"][0]["user_id"] == "ada"
    assert facts["participants"][0]["joined_s"] == 0.0
    assert facts["participants"][0]["left_s"] == 1.0
