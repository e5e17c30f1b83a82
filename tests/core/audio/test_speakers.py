from collections import deque

import pytest

from worker.core.audio.loudness import VoiceLevel, lufs
from worker.core.audio.speakers import SpeakerSelector, SpeakerTurn

LOOKAHEAD = 14
SILENT = None


class Room:
    """A selector fed with loudness per block, LUFS or None for silence."""

    def __init__(self, speakers=3):
        self.selector = SpeakerSelector(speakers, LOOKAHEAD)
        self._energies = {}
        self.block = 0
        self.heard = {}

    def run(self, blocks, **loudness):
        """Let people be this loud for some blocks; who is not named has left."""
        for _ in range(blocks):
            levels = {}
            for name, value in loudness.items():
                past = self._energies.setdefault(name, deque([0.0] * 20, maxlen=20))
                past.append(0.0 if value is SILENT else 10 ** ((value + 0.691) / 10))
                recent = list(past)
                levels[name] = VoiceLevel(
                    recent[-1], lufs(sum(recent[-3:]) / 3), lufs(sum(recent) / 20)
                )
            self.heard[self.block - LOOKAHEAD] = self.selector.advance(self.block, levels)
            self.block += 1
        return self

    def drained(self, **loudness):
        """Run on until everything so far has been heard."""
        end = self.block
        self.run(LOOKAHEAD, **loudness)
        return [self.heard[block] for block in range(end)]

    def changes(self, first=0):
        return [
            block
            for block in range(first, self.block - LOOKAHEAD)
            if self.heard[block] != self.heard[block - 1]
        ]


def test_the_three_loudest_are_heard():
    heard = Room().run(50, a=-20, b=-26, c=-23, d=-29, e=-32).drained(a=-20)

    assert heard[10:] == [{"a", "b", "c"}] * 40


def test_fewer_talkers_than_places_are_all_heard_and_silence_is_not():
    heard = Room().run(50, a=-20, b=-59, c=-62, d=SILENT).drained()

    assert heard[10:] == [{"a", "b"}] * 40


def test_a_newcomer_is_heard_from_two_blocks_before_its_onset():
    room = Room().run(100, a=-20, b=SILENT).run(50, a=-20, b=-30)
    heard = room.drained(a=-20, b=-30)

    assert "b" not in heard[97]
    assert all("b" in heard[block] for block in range(98, 150))


@pytest.mark.parametrize("loudness", [-24.5, -23, -15])
def test_a_louder_newcomer_replaces_the_quietest_exactly_at_its_onset(loudness):
    steady = {"a": -20, "b": -22, "c": -26}
    room = Room().run(100, **steady, d=SILENT).run(60, **steady, d=loudness)
    heard = room.drained(**steady, d=loudness)

    assert heard[97] == {"a", "b", "c"}
    assert heard[98] == heard[99] == {"a", "b", "c", "d"}
    assert heard[100:] == [{"a", "b", "d"}] * 60


def test_an_onset_over_the_noise_of_the_own_room_is_found_too():
    steady = {"a": -20, "b": -22, "c": -26}
    room = Room().run(300, **steady, d=-52).run(60, **steady, d=-23)
    heard = room.drained(**steady, d=-23)

    assert heard[297] == {"a", "b", "c"}
    assert heard[300:] == [{"a", "b", "d"}] * 60


def test_whom_nobody_has_heard_yet_gives_way_to_who_began_with_him_and_is_louder():
    """Places are filled from the first block on, which tells little of who is loud."""
    steady = {"a": -24, "b": -26, "c": -30}
    room = Room().run(1, **steady, d=-31).run(60, **steady, d=-27)
    heard = room.drained(**steady, d=-27)

    assert heard == [{"a", "b", "d"}] * 61
    assert "c" not in {turn.voice for turn in room.selector.take_turns()}


def test_a_newcomer_below_the_quietest_is_not_let_in():
    steady = {"a": -20, "b": -22, "c": -26}
    heard = Room().run(100, **steady, d=SILENT).run(200, **steady, d=-26.3).drained(**steady)

    assert heard[10:] == [{"a", "b", "c"}] * 290


@pytest.mark.parametrize("step", [1.5, 2, 3, 6, 20])
def test_whoever_becomes_louder_by_a_step_takes_over_within_300_ms(step):
    before = {"a": -20, "b": -20, "c": -25, "d": -25 - step}
    after = {"a": -20, "b": -20, "c": -25 - step, "d": -25}
    heard = Room().run(100, **before).run(100, **after).drained(**after)

    assert heard[5:98] == [{"a", "b", "c"}] * 93
    assert heard[115:] == [{"a", "b", "d"}] * 85


def test_all_three_places_may_change_hands_at_once():
    before = {"a": -20, "b": -23, "c": -26, "d": -40, "e": -43, "f": -46}
    after = {"a": -40, "b": -43, "c": -46, "d": -20, "e": -23, "f": -26}
    heard = Room().run(100, **before).run(100, **after).drained(**after)

    assert heard[5:98] == [{"a", "b", "c"}] * 93
    assert heard[115:] == [{"d", "e", "f"}] * 85


def test_someone_who_stops_makes_place_within_300_ms():
    before = {"a": -20, "b": -22, "c": -24, "d": -40}
    after = before | {"c": SILENT}
    heard = Room().run(100, **before).run(100, **after).drained(**after)

    assert heard[99] == {"a", "b", "c"}
    assert heard[115:] == [{"a", "b", "d"}] * 85


def test_a_pause_within_speech_keeps_the_place_and_a_long_one_ends_the_turn():
    room = Room().run(100, a=-20).run(40, a=SILENT).run(50, a=-20).run(100, a=SILENT)
    heard = room.drained(a=SILENT)

    assert heard[:190] == [{"a"}] * 190
    assert heard[-1] == frozenset()


@pytest.mark.parametrize("burst", [5, 10, 15, 20, 25, 40])
def test_alternating_bursts_change_hands_at_most_twice_a_second(burst):
    room = Room()
    steady = {"a": -20, "b": -20}
    room.run(50, **steady, c=-24, d=SILENT)
    for _ in range(500 // burst):
        room.run(burst, **steady, c=SILENT, d=-22).run(burst, **steady, c=-22, d=SILENT)
    room.drained(**steady)

    entries = {
        block
        for block in range(60, room.block - LOOKAHEAD)
        if {"c", "d"} & (room.heard[block] - room.heard[block - 1])
    }
    seconds = (room.block - 60) / 50
    assert len(entries) <= 2 * seconds
    in_order = sorted(entries)
    assert all(b - a >= 98 for a, b in zip(in_order, in_order[4:], strict=False))


def test_a_talker_who_lost_the_place_in_a_pause_gets_it_back_with_the_first_syllable():
    steady = {"a": -20, "b": -20}
    for pause in range(20, 60, 4):
        room = Room().run(100, **steady, c=-22, d=-45).run(pause, **steady, c=SILENT, d=-45)
        room.run(60, **steady, c=-22, d=-45)
        heard = room.drained(**steady, c=-22, d=-45)
        assert all("c" in names for names in heard[98 + pause :]), pause


def test_a_click_does_not_take_a_place():
    steady = {"a": -20, "b": -20, "c": -24}
    room = Room().run(100, **steady, d=SILENT).run(1, **steady, d=-15)
    heard = room.run(60, **steady, d=SILENT).drained(**steady)

    assert heard[10:] == [{"a", "b", "c"}] * 151


def test_who_has_just_come_in_stays_half_a_second():
    steady = {"a": -20, "b": -20}
    room = Room().run(100, **steady, c=-30, d=SILENT, e=-31)
    room.run(5, **steady, c=-30, d=-25, e=-31).run(60, **steady, c=-30, d=-25, e=-22)
    heard = room.drained(**steady, c=-30, d=-25, e=-22)

    assert all("d" in names for names in heard[98:125])
    assert heard[125:] == [{"a", "b", "e"}] * 40


def test_more_than_three_are_heard_only_while_a_gate_is_open_ahead_of_its_onset():
    room = Room()
    for index in range(40):
        loud = {name: -20 - 5 * ((index * 7 + n * 3) % 8) for n, name in enumerate("abcdefgh")}
        room.run(30, **loud)
    heard = room.drained(**loud)

    assert max(map(len, heard)) <= 6
    crowded = [block for block, names in enumerate(heard) if len(names) > 3]
    assert len(crowded) <= 2 * len(room.changes())
    assert not any({b, b + 1, b + 2} <= set(crowded) for b in crowded)


def test_one_speaker_or_five_may_be_wanted():
    loud = {name: -20 - 2 * n for n, name in enumerate("abcdefgh")}

    assert Room(speakers=1).run(50, **loud).drained(**loud)[20] == {"a"}
    assert Room(speakers=5).run(50, **loud).drained(**loud)[20] == set("abcde")


def test_turns_say_who_was_heard_from_when_to_when():
    steady = {"a": -20, "b": -22, "c": -26}
    room = Room().run(100, **steady, d=SILENT).run(100, **steady, d=-22)
    room.run(100, a=SILENT, b=-22, c=SILENT, d=-22).run(20, b=-22, d=-22)
    room.selector.finish(320)

    turns = {turn.voice: turn for turn in room.selector.take_turns()}

    assert turns["c"] == SpeakerTurn("c", 0, 100)
    assert turns["d"] == SpeakerTurn("d", 98, 320)
    assert turns["b"] == SpeakerTurn("b", 0, 320)
    assert turns["a"].start_block == 0
    assert 250 <= turns["a"].end_block <= 275
    assert room.selector.take_turns() == []


def test_someone_who_leaves_is_forgotten_and_the_turn_ends():
    room = Room().run(50, a=-20, b=-30).run(50, b=-30)

    assert room.drained(b=-30)[99] == {"b"}
    (turn,) = room.selector.take_turns()
    assert turn == SpeakerTurn("a", 0, 50)
