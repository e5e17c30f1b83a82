from itertools import takewhile

import pytest

from worker.core.identity import Source, UserId
from worker.core.timing import NS_PER_S
from worker.testroom.faults import NetworkFaults
from worker.testroom.performance import (
    Act,
    AudioDue,
    Ended,
    Joined,
    Left,
    MuteChanged,
    NetworkChanged,
    Published,
    ReportDue,
    VideoDue,
    feeds_of,
    perform,
    voices_of,
)
from worker.testroom.person import Person
from worker.testroom.scenario import (
    Action,
    Actor,
    Cue,
    Leave,
    Rejoin,
    Scenario,
    SetMuted,
    SetNetwork,
    SetSenderReports,
    SetVoice,
    ShareScreen,
    StopScreen,
    VideoFeed,
)
from worker.testroom.voice import Voice, VoiceMode

ADA = UserId("ada")
TONE = Voice(VoiceMode.TONE)


def acts(
    *cues: tuple[float, Action], seconds: float = 10.0, seed: int = 1, **changes: object
) -> list[Act]:
    actor = Actor(ADA, Person(0, "Ada"), **changes)  # type: ignore[arg-type]
    scenario = Scenario("test", (actor,), tuple(Cue(at_s, ADA, what) for at_s, what in cues), seed)
    return list(takewhile(lambda act: act.at_ns < seconds * NS_PER_S, perform(scenario, actor)))


def of[T](kind: type[T], performed: list[Act]) -> list[T]:
    return [act for act in performed if isinstance(act, kind)]
