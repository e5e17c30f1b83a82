from itertools import pairwise, takewhile
from typing import TypeVar

import pytest

from worker.core.identity import Source, UserId
from worker.core.timing import NS_PER_S
from worker.testroom.acts import (
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
)
from worker.testroom.faults import NetworkFaults
from worker.testroom.performance import feeds_of, perform, report_at, voices_of
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
from worker.testroom.sender_clock import SenderClock
from worker.testroom.voice import Voice, VoiceMode

ADA = UserId("ada")
TONE = Voice(VoiceMode.TONE)
T = TypeVar("T")


def acts(
    *cues: tuple[float, Action], seconds: float = 10.0, seed: int = 1, **changes: object
) -> list[Act]:
    actor = Actor(ADA, Person(0, "Ada"), **changes)  # type: ignore[arg-type]
    scenario = Scenario("test", (actor,), tuple(Cue(at_s, ADA, what) for at_s, what in cues), seed)
    return list(takewhile(lambda act: act.at_ns < seconds * NS_PER_S, perform(scenario, actor)))


def of(kind: type[T], performed: list[Act]) -> list[T]:
    return [act for act in performed if isinstance(act, kind)]


def test_an_actor_joins_publishes_and_sends_at_the_pace_of_camera_and_microphone():
    performed = acts(seconds=2)

    assert performed[0] == Joined(0, presence=1)
    assert [act.label for act in of(Published, performed)] == ["microphone", "camera"]
    assert [act.at_ns for act in of(VideoDue, performed)[:3]] == [0, 33_333_333, 66_666_666]
    assert len(of(VideoDue, performed)) == 60
    assert len(of(AudioDue, performed)) == 100


def test_acts_come_in_order_of_time():
    performed = acts((1.25, ShareScreen(VideoFeed(fps=7))), clock_ppm=150, start_offset_s=0.1)

    assert all(first.at_ns <= second.at_ns for first, second in pairwise(performed))


def test_timestamps_follow_the_media_and_reports_tie_them_to_one_wall_clock():
    performed = acts(seconds=3, clock_ppm=500, start_offset_s=0.4)
    video, audio = of(VideoDue, performed), of(AudioDue, performed)
    reports = of(ReportDue, performed)

    assert {b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(video)} == {3000}
    assert {b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(audio)} == {960}
    for label, rate_hz, units in (("camera", 90_000, video), ("microphone", 48_000, audio)):
        report = next(report for report in reports if report.label == label)
        unit = units[50]
        seconds = (unit.rtp_timestamp - report.rtp_timestamp) / rate_hz
        wall_ns = report.ntp_ns + seconds * NS_PER_S
        # On the same wall clock, unit 50 lies where the actor's own clock has it.
        elapsed_ns = (unit.at_ns - report.at_ns) * 1.0005
        assert wall_ns - report.ntp_ns == pytest.approx(elapsed_ns, abs=30_000)


def test_a_microphone_that_loses_sound_counts_on_as_if_nothing_was_missing():
    performed = acts(seconds=10, sound_lost=0.1)
    audio = of(AudioDue, performed)
    reports = [report for report in of(ReportDue, performed) if report.label == "microphone"]

    assert len(audio) == pytest.approx(500 / 1.1, abs=2)
    assert {b.at_ns - a.at_ns for a, b in pairwise(audio)} == {20_000_000, 40_000_000}
    assert {b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(audio)} == {960}
    told = reports[-1].rtp_timestamp - reports[0].rtp_timestamp
    assert told == pytest.approx((reports[-1].ntp_ns - reports[0].ntp_ns) * 48e-6 / 1.1, abs=1000)


def test_each_block_tells_where_a_report_at_its_instant_would_be_with_lost_sound_left_out():
    performed = acts(seconds=10, sound_lost=0.1)
    clock = SenderClock.of(Actor(ADA, Person(0, "Ada")), 1)
    reports = [act for act in of(ReportDue, performed) if act.label == "microphone"]
    for report in reports:
        block = next(act for act in of(AudioDue, performed) if act.at_ns >= report.at_ns)
        assert report_at(clock, report.at_ns, block.rtp_start, 48_000) == (
            report.ntp_ns,
            pytest.approx(report.rtp_timestamp, abs=960),
        )


def test_the_first_report_comes_with_the_track_and_then_one_a_second():
    reports = of(ReportDue, acts(seconds=3.5))

    assert [report.at_ns / NS_PER_S for report in reports if report.label == "camera"] == [
        *(0, 1, 2, 3)
    ]


def test_a_fast_clock_sends_more_frames_and_a_slow_one_fewer():
    def frames(ppm: float) -> int:
        return len(of(VideoDue, acts(seconds=200, clock_ppm=ppm)))

    assert (frames(1000), frames(0), frames(-1000)) == (6006, 6000, 5994)


def test_the_offset_shifts_which_frame_is_sent_at_the_join():
    first = of(VideoDue, acts(join_s=3, start_offset_s=0.5))[0]

    assert (first.frame, first.at_ns) == (15, 3 * NS_PER_S)


def test_a_join_between_two_frames_waits_for_the_next_one():
    performed = acts(join_s=3, start_offset_s=0.51)

    assert of(VideoDue, performed)[0].frame == 16
    assert of(VideoDue, performed)[0].at_ns == 3_023_333_333
    assert of(AudioDue, performed)[0].block == 26


def test_a_muted_camera_sends_nothing_and_continues_in_phase():
    performed = acts(
        (1, SetMuted(Source.CAMERA, muted=True)), (2.5, SetMuted(Source.CAMERA, muted=False))
    )
    frames = [act.frame for act in of(VideoDue, performed)]

    assert frames[28:33] == [28, 29, 75, 76, 77]
    assert [(act.label, act.muted) for act in of(MuteChanged, performed)] == [
        ("camera", True),
        ("camera", False),
    ]


def test_a_muted_microphone_sends_silence_without_a_gap():
    performed = acts((1, SetMuted(Source.MICROPHONE, muted=True)), voice=TONE, seconds=2)
    blocks = of(AudioDue, performed)

    assert [act.block for act in blocks] == list(range(100))
    assert {act.voice.mode for act in blocks[:50]} == {VoiceMode.TONE}
    assert {act.voice.mode for act in blocks[50:]} == {VoiceMode.SILENT}


def test_a_mute_outlasts_leaving():
    performed = acts((1, SetMuted(Source.CAMERA, muted=True)), (2, Leave()), (3, Rejoin()))
    tracks = [(act.label, act.muted) for act in of(Published, performed)]

    assert tracks[2:] == [("microphone", False), ("camera", True)]
    assert not [act for act in of(VideoDue, performed) if act.at_ns >= NS_PER_S]


def test_leaving_stops_all_media_and_coming_back_is_a_new_presence_of_the_same_clock():
    performed = acts((2, Leave()), (5, Rejoin()), voice=TONE)
    frames = of(VideoDue, performed)

    assert [act.at_ns // NS_PER_S for act in of(Left, performed)] == [2]
    assert [act.presence for act in of(Joined, performed)] == [1, 2]
    assert not [act for act in frames if 2 * NS_PER_S <= act.at_ns < 5 * NS_PER_S]
    assert frames[60].frame == 150
    assert frames[60].rtp_timestamp - frames[59].rtp_timestamp != 91 * 3000


def test_leave_s_ends_the_performance():
    performed = acts(leave_s=1.5)

    assert performed[-1] == Left(1_500_000_000)


def test_each_screen_share_is_a_track_of_its_own():
    feed = VideoFeed(fps=10)
    performed = acts(
        (1, ShareScreen(feed)), (2, StopScreen()), (3, ShareScreen(feed)), (4, StopScreen())
    )

    screens = [act for act in of(Published, performed) if act.source is Source.SCREEN]
    assert [act.label for act in screens] == ["screen-1", "screen-2"]
    assert [act.label for act in of(Ended, performed)] == ["screen-1", "screen-2"]
    sent = [act for act in of(VideoDue, performed) if act.source is Source.SCREEN]
    assert len(sent) == 20


def test_only_one_screen_at_a_time():
    feed = VideoFeed(fps=10)
    performed = acts((1, ShareScreen(feed)), (2, ShareScreen(feed)))

    assert len(of(Published, performed)) == 3


def test_a_new_voice_is_heard_from_the_next_block_on():
    performed = acts((1.01, SetVoice(TONE)), seconds=2)
    voices = [act.voice.mode for act in of(AudioDue, performed)]

    assert voices == [VoiceMode.SPEECH] * 51 + [VoiceMode.TONE] * 49


def test_reports_can_be_switched_off_and_on():
    performed = acts(
        (1.5, SetSenderReports(enabled=True)),
        (3.5, SetSenderReports(enabled=False)),
        sender_reports=False,
        camera=None,
    )

    assert [act.at_ns // NS_PER_S for act in of(ReportDue, performed)] == [2, 3]


def test_network_changes_are_passed_on():
    faults = NetworkFaults(loss=0.5)

    assert NetworkChanged(NS_PER_S, faults) in acts((1, SetNetwork(faults)))


def test_an_actor_without_camera_and_microphone_is_only_there():
    assert acts(camera=None, voice=None, leave_s=2) == [Joined(0, 1), Left(2 * NS_PER_S)]


def test_cues_for_somebody_who_is_not_there_are_ignored():
    performed = acts((1, Leave()), (2, ShareScreen(VideoFeed())), (3, StopScreen()), (4, Leave()))

    assert performed[-1] == Left(NS_PER_S)


def test_the_same_script_is_performed_the_same_way_and_another_seed_counts_otherwise():
    assert acts(seconds=1) == acts(seconds=1)
    assert of(VideoDue, acts(seconds=1)) != of(VideoDue, acts(seconds=1, seed=2))


def test_all_media_of_a_script_is_known_beforehand():
    screen = VideoFeed(fps=5)
    actor = Actor(ADA, Person(0, "Ada"), voice=TONE)
    cues = (Cue(1, ADA, ShareScreen(screen)), Cue(2, ADA, SetVoice(Voice(VoiceMode.BEEP))))
    scenario = Scenario("test", (actor,), cues)

    assert [voice.mode for voice in voices_of(scenario, actor)] == [
        VoiceMode.TONE,
        VoiceMode.BEEP,
        VoiceMode.SILENT,
    ]
    assert feeds_of(scenario, actor) == (
        (Source.CAMERA, VideoFeed()),
        (Source.SCREEN, screen),
    )
