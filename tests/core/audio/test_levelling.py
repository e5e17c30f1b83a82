import numpy as np
import pyloudnorm
import pytest

from tests.support.audio_signals import RATE, blocks, db, speech_like, tone
from worker.core.audio.levelling import MAX_GAIN_DB, Leveller
from worker.core.audio.loudness import LoudnessMeter
from worker.core.audio.mixing import Gate, Strip, mix

ANN = "ann"


class Voice:
    """One voice through meter, leveller and mixer; the gain of every block is kept."""

    def __init__(self, target_lufs=-16.0):
        self.meter = LoudnessMeter()
        self.leveller = Leveller(target_lufs)
        self.gains_db = []
        self.output = []

    def run(self, sound, *, heard=True):
        for block in blocks(sound):
            self.leveller.advance(
                self.meter.process([{ANN: block}])[0].levels, {ANN} if heard else set()
            )
            before, after = self.leveller.gains(ANN)
            self.gains_db.append(db(after))
            self.output.append(mix([Strip(block, Gate.OPEN, before, after)]))
        return self

    def loudness(self, from_s, to_s):
        sound = np.concatenate(self.output)[round(from_s * RATE) : round(to_s * RATE)]
        return pyloudnorm.Meter(RATE).integrated_loudness(sound.astype(float))


@pytest.mark.parametrize("level_dbfs", [-38, -30, -20, -9])
def test_speech_of_any_level_reaches_the_target_within_seconds(level_dbfs):
    voice = Voice().run(speech_like(RATE * 20, level_dbfs, seed=4))

    assert voice.loudness(6, 20) == pytest.approx(-16, abs=1)


def test_another_target_can_be_wanted():
    voice = Voice(target_lufs=-23).run(speech_like(RATE * 15, -20, seed=5))

    assert voice.loudness(5, 15) == pytest.approx(-23, abs=1)


def test_the_gain_is_bounded_and_noise_below_speech_is_not_raised():
    assert max(map(abs, Voice().run(tone(1000, RATE * 10, -45)).gains_db)) <= MAX_GAIN_DB + 0.01
    assert Voice().run(tone(1000, RATE * 10, -55)).gains_db[-1] == 0
    assert Voice().run(np.zeros(RATE * 5)).gains_db[-1] == 0


def test_the_gain_rests_in_a_pause():
    voice = Voice().run(speech_like(RATE * 6, -30, seed=6, pauses=False))
    gain_db = voice.gains_db[-1]

    voice.run(tone(500, RATE * 10, -62))

    pause = voice.gains_db[-500:]
    assert gain_db > 5
    assert max(pause) <= gain_db + 1
    assert pause[100:] == [pause[-1]] * 400


def test_the_noise_between_two_sentences_does_not_count():
    seconds = np.arange(RATE * 40) / RATE
    speaks = seconds % 8 < 2
    sound = speech_like(RATE * 40, -20, seed=14, pauses=False) * speaks + tone(500, RATE * 40, -46)
    voice = Voice().run(sound)

    gains_db = np.array(voice.gains_db[10 * 50 :])
    assert gains_db.max() - gains_db.min() < 1.5
    assert voice.loudness(32, 34) == pytest.approx(-16, abs=1)


def test_nothing_pumps():
    gains_db = np.array(Voice().run(speech_like(RATE * 30, -28, seed=7)).gains_db)

    per_second = np.abs(np.diff(gains_db)) * 50
    assert per_second.max() <= 8.01
    settled = gains_db[10 * 50 :]
    assert settled.max() - settled.min() < 2


def test_somebody_who_was_not_heard_yet_starts_at_the_right_gain():
    voice = Voice().run(speech_like(RATE * 3, -30, seed=8), heard=False)
    start = len(voice.output)
    voice.run(speech_like(RATE * 5, -30, seed=9))

    begin = start / 50
    assert voice.loudness(begin, begin + 1) == pytest.approx(-16, abs=1.5)


def test_somebody_who_moves_away_from_the_microphone_is_followed():
    voice = Voice().run(speech_like(RATE * 10, -20, seed=10))
    voice.run(speech_like(RATE * 20, -32, seed=11))

    assert voice.loudness(22, 30) == pytest.approx(-16, abs=1)


def test_a_voice_that_is_unknown_has_a_gain_of_one():
    voice = Voice().run(speech_like(RATE * 4, -30, seed=12))

    assert voice.leveller.gains(ANN)[1] > 2
    assert voice.leveller.gains("nobody") == (1, 1)


def test_a_voice_that_is_away_for_ten_minutes_is_forgotten():
    voice = Voice().run(speech_like(RATE * 4, -30, seed=13))

    for _ in range(599 * 50):
        voice.leveller.advance({}, set())
    assert voice.leveller.gains(ANN)[1] > 2
    for _ in range(2 * 50):
        voice.leveller.advance({}, set())
    assert voice.leveller.gains(ANN) == (1, 1)
