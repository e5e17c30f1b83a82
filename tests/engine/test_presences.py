"""Who is there, through leaving, coming back twice at once, and a server that is away."""

from dataclasses import replace
from random import Random

from tests.fakes.room import person
from tests.fakes.sink import FakeSink
from tests.support.jobs import FPS, SPEC, run, stop_at
from worker.core.identity import (
    Kind,
    Participant,
    ParticipantId,
    Source,
    Track,
    TrackId,
    UserId,
)
from worker.core.lifecycle import StopReason
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    RoomEvent,
    TrackPublished,
)

CYCLES = 200
LOSSES = 8
CYCLE_S = 0.5
AWAY_FROM_S = 0.4
"""Into a cycle after which the user is away for a moment."""
OLD_GOES_AFTER_S = (0.0, 0.15, 0.3)
"""After the new presence has published: at once, or when its connection has timed out."""


def arrival(number: int) -> list[RoomEvent]:
    """Ada's presence of that number, with its camera."""
    presence = ParticipantId(f"ada-{number}")
    track = Track(TrackId(f"{presence}/camera"), presence, Kind.VIDEO, Source.CAMERA)
    return [
        ParticipantJoined(Participant(presence, UserId("ada"), "Ada")),
        TrackPublished(track),
    ]


def test_two_hundred_returns_of_one_user_leave_exactly_one_tile_of_the_newest_presence():
    """Every other time the old presence is still there when the new one comes, in any order."""
    rng = Random(11)
    script: list[tuple[float, RoomEvent]] = [(0.0, event) for event in arrival(0)]
    for number in range(1, CYCLES + 1):
        at_s = number * CYCLE_S
        gone = ParticipantLeft(ParticipantId(f"ada-{number - 1}"))
        if number % 2:
            leaves_s = at_s + rng.choice(OLD_GOES_AFTER_S)
        else:
            leaves_s = at_s - CYCLE_S + AWAY_FROM_S
        script += [(at_s, event) for event in arrival(number)]
        script.append((leaves_s, gone))
    script.sort(key=lambda entry: entry[0])

    done = run(SPEC, script, [FakeSink()], during=stop_at((CYCLES + 1) * CYCLE_S))

    assert len(done.canvases) == (CYCLES + 1) * CYCLE_S * FPS
    for tick, canvas in enumerate(done.canvases):
        number, within = divmod(tick, round(CYCLE_S * FPS))
        tracks = [tile.track_id for tile in canvas.scene.tiles]
        is_away = number % 2 == 1 and within >= AWAY_FROM_S * FPS and number < CYCLES
        assert tracks == ([] if is_away else [f"ada-{number}/camera"]), f"frame {tick}"


def test_losses_of_signalling_are_no_idle_room():
    """A server that is away twice as long as the idle time, and back with an empty list first."""
    spec = replace(SPEC, mix=replace(SPEC.mix, max_idle_s=5))
    ada = person("ada")
    script: list[tuple[float, RoomEvent]] = [(0.0, ParticipantJoined(ada))]
    for number in range(LOSSES):
        at_s = 1.0 + 14 * number
        script += [
            (at_s, RoomDisconnected("no answer")),
            (at_s + 0.1, ParticipantLeft(ada.participant_id)),
            (at_s + 9, RoomConnected()),
            (at_s + 13.5, ParticipantJoined(ada)),
        ]

    done = run(spec, script, [FakeSink()], during=stop_at(1 + 14 * LOSSES))

    assert done.error is None
    assert done.job.lifecycle.reason is StopReason.TENANT_STOP
