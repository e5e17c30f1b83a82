"""What a control plane asks of a running job: a picture of it, another layout, one user's sound."""

import asyncio
from dataclasses import replace

from tests.fakes.room import camera, person
from tests.fakes.sink import FakeSink
from tests.support.jobs import SPEC, at, run, stop_at
from worker.core.identity import Kind, ParticipantId, Source, Track, TrackId, UserId
from worker.core.lifecycle import StopReason
from worker.core.spec import AudioSpec, Backgrounds, CustomLayout, ImageRef, Pane
from worker.ports import ParticipantJoined, ParticipantLeft, TrackPublished

ADA = [(0.0, ParticipantJoined(person("ada"))), (0.0, TrackPublished(camera("ada")))]
BOB = [(0.0, ParticipantJoined(person("bob"))), (0.0, TrackPublished(camera("bob")))]
ONLY_BOB = CustomLayout((Pane(1, UserId("bob"), Source.CAMERA, 0, 0, 1, 1),))


def microphone(name: str) -> Track:
    participant = ParticipantId(f"p-{name}")
    return Track(TrackId(f"{name}/microphone"), participant, Kind.AUDIO, Source.MICROPHONE)


def together(*plans):
    return lambda job: [plan(job) for plan in plans] and None


def started(make):
    """For `at`: begins what *make* gives for the job, and keeps it alive."""
    tasks = []
    return tasks, lambda job: tasks.append(asyncio.ensure_future(make(job)))


def test_a_still_is_of_the_next_frame_and_shared_by_who_asks_meanwhile():
    tasks, ask = started(lambda job: job.video.still())

    run(SPEC, ADA, [FakeSink()], during=together(at(1.0, ask), at(1.0, ask), stop_at(2.0)))

    assert [task.result() for task in tasks] == [b"still", b"still"]


def test_a_revised_layout_is_shown_from_the_instant_it_was_asked_for():
    mix = replace(SPEC.mix, layout=ONLY_BOB)
    tasks, revise = started(lambda job: job.revise(mix))

    done = run(SPEC, ADA + BOB, [FakeSink()], during=together(at(1.0, revise), stop_at(2.0)))

    assert tasks[0].result() is None
    tiles = [[tile.user_id for tile in canvas.scene.tiles] for canvas in done.canvases]
    changed = tiles.index(["bob"])
    assert tiles[changed - 1] == ["ada", "bob"]
    assert 30 <= changed <= 31


def test_images_of_a_revised_layout_are_loaded_and_broken_ones_are_warned_of():
    backgrounds = Backgrounds(canvas=ImageRef("file:///nowhere.png"))
    mix = replace(SPEC.mix, backgrounds=backgrounds)
    _, revise = started(lambda job: job.revise(mix))

    def breaking(job):
        job._kit.warnings = ["image file:///nowhere.png: it cannot be read"]

    done = run(
        SPEC,
        ADA,
        [FakeSink()],
        during=together(at(0.9, breaking), at(1.0, revise), stop_at(2.0)),
    )

    assert done.job.warnings == ["image file:///nowhere.png: it cannot be read"]


def test_a_revised_idle_time_counts():
    patient = replace(SPEC, mix=replace(SPEC.mix, max_idle_s=30))
    _, revise = started(lambda job: job.revise(replace(SPEC.mix, max_idle_s=5)))
    left = (2.0, ParticipantLeft(person("ada").participant_id))

    done = run(patient, [*ADA, left], [FakeSink()], during=at(1.0, revise))

    assert done.job.lifecycle.reason is StopReason.MAX_IDLE
    assert done.ended_s < 9


def test_only_who_may_be_heard_is_decoded():
    spec = replace(SPEC, audio=AudioSpec(users=frozenset({UserId("bob")})))
    script = [
        *ADA,
        *BOB,
        (0.0, TrackPublished(microphone("ada"))),
        (0.0, TrackPublished(microphone("bob"))),
    ]

    done = run(spec, script, [FakeSink()], during=stop_at(1.0))

    assert list(done.job.intake.audio) == [microphone("bob").track_id]
