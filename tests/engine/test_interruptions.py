"""What the engine tells a record plan of who is there."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.media import FakeKit
from tests.fakes.room import FakeRoom, Happening, person
from tests.fakes.sink import FakeSink
from worker.core.identity import Codec, Kind, Source, Track, TrackId
from worker.core.layout.geometry import Size
from worker.core.record.naming import KeyTemplate
from worker.core.record.plan import RecordPlan
from worker.core.record.rule import FileRule, ObjectAddress, RecordFormat, RecordRule
from worker.core.spec import GalleryLayout, JobSpec, MixSpec, TestRoomSpec
from worker.core.template import EncodeTemplate
from worker.engine.clock import LoopClock
from worker.engine.job import Job
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    TrackPublished,
)
from worker.testroom.virtual_loop import run_virtual

ANN = person("ann")
VOICE = Track(TrackId("ann/mic"), ANN.participant_id, Kind.AUDIO, Source.MICROPHONE)
JOINED: list[tuple[float, Happening]] = [
    (0.0, ParticipantJoined(ANN)),
    (0.0, TrackPublished(VOICE)),
]


def sound(at_s: float) -> tuple[float, EncodedFrame]:
    at_ns = round(at_s * 1e9)
    frame = EncodedFrame(
        VOICE.track_id, Codec.OPUS, 0, round(at_s * 48_000), at_ns, keyframe=True, data=b"x"
    )
    return at_s, frame


def cuts(
    script: list[tuple[float, Happening]], *, seconds: float, template: EncodeTemplate | None
) -> list[tuple[float, bool]]:
    rule = RecordRule(ObjectAddress("l", "b"), mp4=FileRule(KeyTemplate("x"), 0, 0))

    async def main() -> list[tuple[float, bool]]:
        clock = LoopClock(asyncio.get_running_loop())
        plan = RecordPlan(rule, fps=template and template.fps, unix_offset_s=0)
        job = Job(
            JobSpec(
                job_id="job",
                room=TestRoomSpec("ws://127.0.0.1:1/ws"),
                mix=MixSpec("room", template, GalleryLayout()),
                directory=Path("/nowhere"),
                name="name",
                max_duration_s=seconds,
            ),
            room=FakeRoom(clock, sorted(script, key=lambda each: each[0])),
            kit=FakeKit(),
            clock=clock,
            sinks=[FakeSink()],
            plan=plan,
        )
        await job.run()
        return [(cut.sample / 48_000, cut.begins) for cut in plan.cuts(RecordFormat.MP4)]

    return run_virtual(main())


@pytest.mark.parametrize("template", [EncodeTemplate(Size(64, 36), 15, 100), None])
def test_an_empty_room_is_an_interruption_after_a_second(template):
    script = [*JOINED, (4.0, ParticipantLeft(ANN.participant_id)), (8.0, ParticipantJoined(ANN))]
    begun, ended, again = cuts(script, seconds=12, template=template)
    assert begun == (0, True)
    assert ended == (pytest.approx(5.0, abs=0.11), False)
    assert again == (pytest.approx(8.0, abs=0.07), True)


def test_lost_signalling_is_none_while_media_comes():
    media = [sound(n / 50) for n in range(600)]
    script = [*JOINED, *media, (4.0, RoomDisconnected("test")), (8.0, RoomConnected())]
    assert cuts(script, seconds=12, template=None) == [(0, True)]


def test_lost_signalling_without_media_is_one():
    media = [sound(n / 50) for n in range(600) if not 250 < n < 400]
    script = [*JOINED, *media, (4.0, RoomDisconnected("test")), (9.0, RoomConnected())]
    begun, ended, again = cuts(script, seconds=12, template=None)
    assert begun == (0, True)
    # Heard until 5 s, absent from 6 s on, and interrupted a second after that.
    assert ended == (pytest.approx(7.0, abs=0.2), False)
    assert again == (pytest.approx(8.0, abs=0.2), True)
