import numpy as np
import pyloudnorm
import pytest

from tests.support.audio_signals import blocks, speech_like, tone
from worker.core.audio.loudness import ABSENT_BLOCKS, LoudnessMeter, lufs
from worker.core.identity import ParticipantId

ANN = ParticipantId("ann")
BEN = ParticipantId("ben")

SAME_LU = 1e-6


def measured(meter, voices):
    """Levels after one block."""
    return meter.process([voices])[0].levels


def momentary_every_100_ms(sound):
    """Streaming momentary loudness where pyloudnorm's gating blocks end."""
    meter = LoudnessMeter()
    levels = [measured(meter, {ANN: block})[ANN].momentary_lufs for block in blocks(sound)]
    return np.array(levels[19::5])


def gated(momentary):
    """Integrated loudness of BS.1770-4, written out from momentary values."""
    energy = 10 ** ((momentary + 0.691) / 10)
    loud = momentary >= -70
    relative = -0.691 + 10 * np.log10(energy[loud].mean()) - 10
    return -0.691 + 10 * np.log10(energy[loud & (momentary > relative)].mean())


@pytest.mark.parametrize("channels", [1, 2])
def test_streaming_equals_pyloudnorm_over_a_whole_file(channels):
    left = speech_like(48_000 * 12, -23, seed=1)
    right = left if channels == 1 else speech_like(48_000 * 12, -31, seed=2)
    stereo = np.stack([left, right], axis=1).astype(np.float32).astype(np.float64)
    oracle = pyloudnorm.Meter(48_000, filter_class="DeMan")  # the standard's own coefficients
    integrated = oracle.integrated_loudness(stereo)

    momentary = momentary_every_100_ms(stereo[:, :channels])

    expected = np.array(oracle.blockwise_loudness)
    audible = expected > -100
    assert audible.sum() > 90
    np.testing.assert_allclose(momentary[audible], expected[audible], rtol=0, atol=SAME_LU)
    assert gated(momentary) == pytest.approx(integrated, abs=SAME_LU)


def test_a_mono_voice_is_as_loud_as_the_same_sound_in_both_channels():
    sound = tone(1000, 48_000, -20)
    meter = LoudnessMeter()

    for mono, stereo in zip(blocks(sound), blocks(np.stack([sound, sound], axis=1)), strict=True):
        levels = measured(meter, {ANN: mono, BEN: stereo})

    assert levels[ANN] == pytest.approx(levels[BEN], abs=1e-9)
    assert levels[ANN].momentary_lufs == pytest.approx(-20, abs=0.1)


def test_voices_that_come_and_go_leave_the_others_alone():
    sound = speech_like(48_000, -20, seed=3)
    alone = LoudnessMeter()
    crowded = LoudnessMeter()

    for index, block in enumerate(blocks(sound)):
        expected = measured(alone, {ANN: block})[ANN]
        company = {ParticipantId(f"p{n}"): block[::-1] for n in range(index % 5)}
        levels = measured(crowded, {**company, ANN: block})
        assert levels[ANN] == pytest.approx(expected, abs=1e-9)


def test_a_voice_that_turns_stereo_keeps_its_history():
    sound = tone(500, 48_000, -20)
    meter = LoudnessMeter()
    mono = list(blocks(sound))[:30]
    stereo = list(blocks(np.stack([sound, sound], axis=1)))[30:]

    levels = [measured(meter, {ANN: block})[ANN].momentary_lufs for block in (*mono, *stereo)]

    assert levels[25:] == pytest.approx([levels[25]] * 25, abs=0.1)


def test_the_fast_measure_sees_an_onset_in_its_first_block():
    meter = LoudnessMeter()
    quiet = np.zeros((960, 1), np.float32)
    for _ in range(30):
        level = measured(meter, {ANN: quiet})[ANN]
    assert (level.energy, level.fast_lufs, level.momentary_lufs) == (0, -120, -120)

    level = measured(meter, {ANN: next(blocks(tone(1000, 960, -20)))})[ANN]

    assert level.fast_lufs == pytest.approx(-20 - 4.8, abs=0.5)
    assert level.momentary_lufs == pytest.approx(-20 - 13, abs=0.5)


@pytest.mark.parametrize("at_once", [1, 3])
def test_not_a_number_costs_its_voice_one_block_and_the_others_nothing(at_once):
    sound = tone(1000, 48_000, -20)
    meter = LoudnessMeter()
    broken = np.full((960, 1), np.nan, np.float32)
    people = [
        {ANN: broken if index == 10 else block, BEN: block}
        for index, block in enumerate(blocks(sound))
    ]
    after = []
    for first in range(0, 48, at_once):
        after += meter.process(people[first : first + at_once])

    assert [index for index, (_, broken) in enumerate(after) if broken] == [10]
    assert after[10].broken == {ANN}
    assert after[10].levels[ANN].energy < 0.01 * after[9].levels[ANN].energy
    assert all(np.isfinite(levels[ANN].momentary_lufs) for levels, _ in after)
    assert after[-1].levels[BEN].momentary_lufs == pytest.approx(-20, abs=0.1)
    assert after[-1].levels[ANN].momentary_lufs == pytest.approx(-20, abs=0.1)


def test_a_voice_is_measured_from_its_first_block_on():
    block = next(blocks(tone(1000, 960)))
    meter = LoudnessMeter()

    after = meter.process([{ANN: block}, {ANN: block, BEN: block}, {ANN: block}])

    assert [set(levels) for levels, _ in after] == [{ANN}, {ANN, BEN}, {ANN, BEN}]
    assert after[1].levels[BEN] == after[0].levels[ANN]


def test_an_absent_voice_is_silent_and_then_forgotten():
    meter = LoudnessMeter()
    measured(meter, {ANN: next(blocks(tone(1000, 960)))})

    levels = [measured(meter, {}) for _ in range(ABSENT_BLOCKS + 1)]

    assert levels[30][ANN].momentary_lufs < -100
    assert ANN in levels[ABSENT_BLOCKS - 1]
    assert levels[ABSENT_BLOCKS] == {}


def test_filters_that_ring_out_end_in_zeros_not_in_denormals():
    meter = LoudnessMeter()
    measured(meter, {ANN: next(blocks(tone(1000, 960)))})
    quiet = np.zeros((960, 1), np.float32)
    for _ in range(200):
        level = measured(meter, {ANN: quiet})[ANN]

    assert level.energy == 0
    assert not meter._state.any()


def test_lufs_of_nothing_is_a_number():
    assert lufs(0.0) == -120
    assert lufs(1.0) == pytest.approx(-0.691)
