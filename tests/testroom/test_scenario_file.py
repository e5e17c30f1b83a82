from dataclasses import replace
from pathlib import Path

import pytest

from worker.core.identity import Codec, Source, UserId
from worker.core.layout.geometry import Size
from worker.errors import InvalidField
from worker.testroom.faults import NetworkFaults
from worker.testroom.person import Person
from worker.testroom.scenario import (
    Actor,
    Cue,
    Leave,
    Rejoin,
    SetMuted,
    SetNetwork,
    SetSenderReports,
    SetVoice,
    ShareScreen,
    StopScreen,
    VideoFeed,
)
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.voice import LevelUnit, Voice, VoiceMode

SCENARIOS = Path(__file__).parents[2] / "configs" / "scenarios"
ADA = UserId("ada")
ONE = '[[participants]]\nuser_id = "ada"\n'


def event(do: str, more: str = "") -> str:
    return f'{ONE}\n[[events]]\nat_s = 1\nuser_id = "ada"\ndo = "{do}"\n{more}'


def action(do: str, more: str = "") -> object:
    return parse_scenario(event(do, more)).cues[0].action


def test_a_name_is_enough_to_describe_a_participant():
    (actor,) = parse_scenario(ONE).actors

    assert actor == Actor(
        user_id=ADA,
        person=Person(0, "ada"),
        camera=VideoFeed(Codec.VP8, Size(640, 360), 30, 500, 0.3),
        voice=Voice(VoiceMode.SPEECH, -23.0, LevelUnit.DBFS, beep=True),
    )


def test_every_key_of_a_participant_is_read():
    (actor,) = parse_scenario(
        """
        [[participants]]
        user_id = "ada"
        name = "Ada L."
        colour = 7
        join_s = 1.5
        leave_s = 20
        clock_ppm = -200
        start_offset_s = 0.25
        sound_lost = 0.01
        sender_reports = false
        rtx = false
        dtx = true
        red = 2
        camera = { codec = "h264", width = 360, height = 640, fps = 15, bitrate_kbps = 300, \
motion = 1, live = true, h264_profile = "high" }
        microphone = { mode = "tone", level_lufs = -30, beep = false }
        network = { loss = 0.05, burst_ms = 500, burst_every_s = 20, delay_ms = 30, \
jitter_ms = 100, reorder = 0.01, duplicate = 0.02 }
        """
    ).actors

    assert actor == Actor(
        user_id=ADA,
        person=Person(7, "Ada L."),
        join_s=1.5,
        leave_s=20,
        camera=VideoFeed(Codec.H264, Size(360, 640), 15, 300, 1.0, True, "high"),
        voice=Voice(VoiceMode.TONE, -30, LevelUnit.LUFS, beep=False),
        clock_ppm=-200,
        start_offset_s=0.25,
        sound_lost=0.01,
        sender_reports=False,
        rtx=False,
        dtx=True,
        red=2,
        network=NetworkFaults(0.05, 500, 20, 30, 100, 0.01, 0.02),
    )


def test_defaults_stand_in_key_by_key():
    scenario = parse_scenario(
        """
        [defaults.camera]
        codec = "h264"
        fps = 15
        [defaults.microphone]
        level_db = -40

        [[participants]]
        user_id = "ada"
        camera = { fps = 10 }
        [[participants]]
        user_id = "bob"
        camera = false
        microphone = { level_lufs = -20 }
        """
    )
    ada, bob = scenario.actors

    assert ada.camera == VideoFeed(Codec.H264, fps=10)
    assert ada.voice == Voice(VoiceMode.SPEECH, -40)
    assert bob.camera is None
    assert bob.voice == Voice(VoiceMode.SPEECH, -20, LevelUnit.LUFS)


def test_colours_follow_the_order_in_the_file():
    text = "".join(f'[[participants]]\nuser_id = "u{index}"\n' for index in range(30))

    indices = [actor.person.index for actor in parse_scenario(text).actors]

    assert indices == [*range(28), 0, 1]


def test_every_deed_is_understood():
    assert action("mute_camera") == SetMuted(Source.CAMERA, muted=True)
    assert action("unmute_camera") == SetMuted(Source.CAMERA, muted=False)
    assert action("mute_microphone") == SetMuted(Source.MICROPHONE, muted=True)
    assert action("unmute_microphone") == SetMuted(Source.MICROPHONE, muted=False)
    assert action("stop_screen") == StopScreen()
    assert action("sender_reports_off") == SetSenderReports(enabled=False)
    assert action("sender_reports_on") == SetSenderReports(enabled=True)
    assert action("leave") == Leave()
    assert action("rejoin") == Rejoin()
    assert action("network", "network = { loss = 0.5 }") == SetNetwork(NetworkFaults(loss=0.5))
    assert action("network") == SetNetwork(NetworkFaults())
    assert action("voice", 'microphone = { mode = "tone", level_db = -9 }') == SetVoice(
        Voice(VoiceMode.TONE, -9)
    )


def test_a_screen_is_large_and_slow_unless_told_otherwise():
    assert action("share_screen", "screen = { fps = 5 }") == ShareScreen(
        VideoFeed(Codec.VP8, Size(1280, 720), 5, 800, 0.1)
    )


def test_a_new_level_keeps_the_rest_of_the_voice():
    scenario = parse_scenario(
        """
        [[participants]]
        user_id = "ada"
        microphone = { mode = "tone", level_db = -20, beep = false }
        [[events]]
        at_s = 3
        user_id = "ada"
        do = "voice"
        microphone = { level_lufs = -35 }
        """
    )

    assert scenario.cues == (
        Cue(3, ADA, SetVoice(Voice(VoiceMode.TONE, -35, LevelUnit.LUFS, beep=False))),
    )


def test_events_are_put_in_order_of_time():
    text = event("leave") + '\n[[events]]\nat_s = 0.5\nuser_id = "ada"\ndo = "mute_camera"\n'

    assert [cue.at_s for cue in parse_scenario(text).cues] == [0.5, 1]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "participants"),
        ("participants = 3", "participants"),
        ("x = ", "scenario"),
        (f"speed = 3\n{ONE}", "speed"),
        (f"[defaults]\nvoice = {{}}\n{ONE}", "defaults.voice"),
        (f"seed = -1\n{ONE}", "seed"),
        (f"loop_s = 0.5\n{ONE}", "loop_s"),
        (f"duration_s = 0\n{ONE}", "duration_s"),
        ("[[participants]]\n", "participants[0].user_id"),
        ('[[participants]]\nuser_id = "a b"\n', "participants[0].user_id"),
        (f"{ONE}{ONE}", "participants[1].user_id"),
        (f'{ONE}name = "{"x" * 65}"', "participants[0].name"),
        (f'{ONE}name = "a\\u0007"', "participants[0].name"),
        (f"{ONE}join_s = -1", "participants[0].join_s"),
        (f"{ONE}join_s = 5\nleave_s = 5", "participants[0].leave_s"),
        (f"{ONE}colour = 28", "participants[0].colour"),
        (f"{ONE}clock_ppm = true", "participants[0].clock_ppm"),
        (f"{ONE}sender_reports = 1", "participants[0].sender_reports"),
        (f"{ONE}camera = 5", "participants[0].camera"),
        (f"{ONE}camera = {{ width = 641 }}", "participants[0].camera.width"),
        (f"{ONE}camera = {{ widht = 640 }}", "participants[0].camera.widht"),
        (f'{ONE}camera = {{ codec = "av1" }}', "participants[0].camera.codec"),
        (f'{ONE}camera = {{ h264_profile = "main" }}', "participants[0].camera.h264_profile"),
        (f'{ONE}microphone = {{ mode = "song" }}', "participants[0].microphone.mode"),
        (f"{ONE}microphone = {{ level_db = 3 }}", "participants[0].microphone.level_db"),
        (
            f"{ONE}microphone = {{ level_db = -3, level_lufs = -3 }}",
            "participants[0].microphone.level_lufs",
        ),
        (
            f'{ONE}microphone = {{ mode = "beep", level_lufs = -3 }}',
            "participants[0].microphone.level_lufs",
        ),
        (f"{ONE}network = {{ loss = 1.5 }}", "participants[0].network.loss"),
        (
            f"{ONE}network = {{ burst_ms = 2000, burst_every_s = 1 }}",
            "participants[0].network.burst_ms",
        ),
        (event("dance"), "events[0].do"),
        (event("leave", "screen = {}"), "events[0].screen"),
        (event("leave").replace('user_id = "ada"\ndo', 'user_id = "bob"\ndo'), "events[0].user_id"),
        (event("leave").replace("at_s = 1", ""), "events[0].at_s"),
        (event("mute_camera").replace('"ada"\n\n', '"ada"\ncamera = false\n'), "events[0].do"),
        (event("voice").replace('"ada"\n\n', '"ada"\nmicrophone = false\n'), "events[0].do"),
        (f"[defaults.camera]\nfps = 0\n{ONE}", "participants[0].camera.fps"),
    ],
)
def test_an_error_names_the_key(text: str, path: str):
    with pytest.raises(InvalidField) as caught:
        parse_scenario(text)

    assert caught.value.path == path


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.name)
def test_the_scenarios_we_ship_can_be_played(path: Path):
    assert parse_scenario(path.read_text()).actors


def test_the_example_says_what_a_key_is_when_left_out():
    example = (SCENARIOS / "example.toml").read_text()
    (ada, *_), (plain,) = parse_scenario(example).actors, parse_scenario(ONE).actors

    assert ada == replace(plain, person=Person(0, "Ada"))
