"""The room is told which microphones are not decoded, so that it need not decrypt their silence."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from tests.engine.test_crowd import HearingKit, in_order, joined, left, microphone, spoken
from tests.support.jobs import SPEC, Run, run, stop_at
from worker.core.audio.shortlist import SMALL_ROOM
from worker.core.identity import TrackId
from worker.core.spec import MixSpec
from worker.media.opus_loop import encode_opus_loop

SOUND_ONLY = replace(SPEC, mix=MixSpec("room", None, SPEC.mix.layout, max_idle_s=5))
CROWD = [f"user-{n}" for n in range(12)]
assert len(CROWD) > SMALL_ROOM


def tracks(*names: str) -> frozenset[TrackId]:
    return frozenset(microphone(name).track_id for name in names)


@cache
def silence() -> bytes:
    return encode_opus_loop(np.zeros(48_000, np.float32), 32)[25]


def told(name: str, from_s: float, to_s: float, *, loud: tuple[float, float] = (0, 0)):
    """A microphone that is silent, and says so, but for a while."""
    for at_s, frame in spoken(name, from_s, to_s):
        if not loud[0] <= at_s < loud[1]:
            frame = replace(frame, level_dbov=-127, data=silence())
        yield at_s, frame


def recorded(*script, seconds: float) -> Run:
    done = run(SOUND_ONLY, in_order(*script), kit=HearingKit(), during=stop_at(seconds))
    assert done.error is None
    return done


def decoded(done: Run) -> dict[TrackId, int]:
    return {
        TrackId(track["track"]): track["packets_decoded"]
        for entry in done.job.intake.entries()
        for track in entry.tracks
    }


def test_in_a_small_room_none_rests():
    names = CROWD[:SMALL_ROOM]
    done = recorded(
        *(joined(name, 0.0, microphone(name)) for name in names),
        *(told(name, 0.0, 3.0) for name in names),
        seconds=3,
    )
    assert done.room.resting == []
    assert min(decoded(done).values()) > 100


def test_in_a_large_room_all_rest_but_those_who_may_be_heard():
    done = recorded(
        *(joined(name, 0.0, microphone(name)) for name in CROWD),
        told("user-0", 0.0, 12.0, loud=(3, 4)),
        told("user-1", 0.0, 12.0, loud=(3.5, 4)),
        *(told(name, 0.0, 12.0) for name in CROWD[2:]),
        seconds=12,
    )
    everybody = tracks(*CROWD)
    assert done.room.resting[0] == everybody
    assert done.room.resting[1] == everybody - tracks("user-0")
    assert done.room.resting[2] == everybody - tracks("user-0", "user-1")
    assert done.room.resting[-1] == everybody, "who has spoken rests again"
    packets = decoded(done)
    assert {name for name, count in packets.items() if count} == tracks("user-0", "user-1")


def test_nothing_is_told_while_nothing_changes():
    done = recorded(
        *(joined(name, 0.0, microphone(name)) for name in CROWD),
        *(told(name, 0.0, 11.0, loud=(0, 11)) for name in CROWD[:3]),
        *(told(name, 0.0, 11.0) for name in CROWD[3:]),
        seconds=10,
    )
    assert all(before != after for before, after in pairwise(done.room.resting))
    assert len(done.room.resting) <= 2
    assert done.room.resting[-1] == tracks(*CROWD[3:])


@pytest.mark.parametrize("remaining", [SMALL_ROOM, SMALL_ROOM + 1])
def test_when_the_room_becomes_small_none_rests_any_more(remaining: int):
    done = recorded(
        *(joined(name, 0.0, microphone(name)) for name in CROWD),
        *(told(name, 0.0, 2.0 if n >= remaining else 15.0) for n, name in enumerate(CROWD)),
        [left(name, 2.0) for name in CROWD[remaining:]],
        seconds=14,
    )
    few = frozenset() if remaining == SMALL_ROOM else tracks(*CROWD[:remaining])
    assert done.room.resting[0] == tracks(*CROWD)
    assert done.room.resting[-1] == few


def test_a_microphone_that_does_not_tell_its_level_is_decoded_and_does_not_rest():
    def mute_about_it(name: str):
        for at_s, frame in spoken(name, 0.0, 4.0):
            yield at_s, replace(frame, level_dbov=None)

    done = recorded(
        *(joined(name, 0.0, microphone(name)) for name in CROWD),
        mute_about_it("user-7"),
        *(told(name, 0.0, 4.0) for name in CROWD if name != "user-7"),
        seconds=4,
    )
    assert done.room.resting[-1] == tracks(*CROWD) - tracks("user-7")
