import pytest

from worker.core.identity import Codec
from worker.errors import InvalidField
from worker.testroom.scenario import Scenario, SetVoice, ShareScreen, StopScreen
from worker.testroom.scenario_file import parse_scenario, standard_scenario
from worker.testroom.voice import VoiceMode


def speaking(scenario: Scenario) -> list[tuple[float, float, str]]:
    """Turns as (start, end, user)."""
    turns = []
    for actor in scenario.actors:
        start = None
        for cue in scenario.cues_of(actor.user_id):
            if not isinstance(cue.action, SetVoice):
                continue
            if cue.action.voice.mode is VoiceMode.SPEECH:
                assert start is None, "a turn begins after the last one ended"
                start = cue.at_s
            else:
                assert start is not None
                turns.append((start, cue.at_s, actor.user_id))
                start = None
    return sorted(turns)


@pytest.mark.parametrize("participants", [1, 2, 4, 9, 25])
@pytest.mark.parametrize("share", [False, True])
def test_it_has_the_asked_people_and_can_be_played(participants: int, share: bool):
    scenario = parse_scenario(standard_scenario(participants=participants, seconds=40, share=share))

    assert len(scenario.actors) == participants
    assert scenario.duration_s == 40
    assert len({actor.person.name for actor in scenario.actors}) == participants
    shares = [cue for cue in scenario.cues if isinstance(cue.action, ShareScreen | StopScreen)]
    assert len(shares) == (2 if share else 0)


def test_people_take_turns_and_somebody_speaks_most_of_the_time():
    turns = speaking(parse_scenario(standard_scenario(participants=4, seconds=60)))

    assert 8 <= len(turns) <= 24
    assert len({user for _, _, user in turns}) >= 3
    assert sum(end - start for start, end, _ in turns) > 45
    for (_, _, user), (_, _, next_user) in zip(turns, turns[1:], strict=False):
        assert user != next_user


def test_both_codecs_and_a_latecomer_are_shown():
    scenario = parse_scenario(standard_scenario(participants=4, seconds=60))

    assert {actor.camera.codec for actor in scenario.actors if actor.camera} == {
        Codec.VP8,
        Codec.H264,
    }
    assert [actor.join_s > 0 for actor in scenario.actors] == [False, False, False, True]


def test_nobody_speaks_before_joining():
    scenario = parse_scenario(standard_scenario(participants=3, seconds=60))
    joins = {actor.user_id: actor.join_s for actor in scenario.actors}

    assert all(start >= joins[user] for start, _, user in speaking(scenario))


def test_the_same_arguments_write_the_same_scenario():
    assert standard_scenario(participants=5) == standard_scenario(participants=5)


@pytest.mark.parametrize("participants", [0, 26])
def test_an_impossible_number_of_people_is_refused(participants: int):
    with pytest.raises(InvalidField, match="participants"):
        standard_scenario(participants=participants)
