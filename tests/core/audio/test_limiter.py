import numpy as np
import pytest
from scipy import signal

from tests.support.audio_signals import (
    RATE,
    amplitude_db,
    blocks,
    speech_like,
    tone,
    true_peak_dbtp,
)
from worker.core.audio.limiter import TRUE_PEAK_DBTP, Limiter

SAMPLES = RATE * 2


def limit(sound):
    """The whole sound through the limiter, its delay of a block undone."""
    stereo = np.repeat(sound[:, None], 2, axis=1) if sound.ndim == 1 else sound
    limiter = Limiter()
    out = [limiter.process(block) for block in blocks(stereo)]
    out.append(limiter.process(np.zeros((960, 2), np.float32)))
    return np.concatenate(out[1:])


def three_talkers():
    return sum(tone(f, SAMPLES) for f in (440, 997, 1733))


def high_tones():
    return sum(tone(f, SAMPLES, 0, f) for f in (19_000, 15_000, 17_000, 6_000))


def between_samples():
    return tone(12_000, SAMPLES, 3.5, np.pi / 4)


def noise():
    sos = signal.butter(12, 19_500, fs=RATE, output="sos")
    return signal.sosfilt(sos, np.random.default_rng(1).standard_normal(SAMPLES) * 1.5)


def clipped():
    return np.clip(np.random.default_rng(2).standard_normal(SAMPLES) * 5, -1, 1)


def bursts():
    seconds = np.arange(SAMPLES) / RATE
    return np.where(seconds % 0.5 < 0.01, tone(3000, SAMPLES, 10), tone(300, SAMPLES, -40))


def one_sample():
    sound = np.zeros(SAMPLES)
    sound[10_000] = 4.0
    return sound


def speech():
    return sum(speech_like(SAMPLES, -6, seed) for seed in range(3))


LOUD = [three_talkers, high_tones, between_samples, noise, clipped, bursts, one_sample, speech]


@pytest.mark.parametrize("sound", LOUD)
def test_true_peak_never_exceeds_minus_one_dbtp(sound):
    loud = sound()
    assert true_peak_dbtp(loud) > TRUE_PEAK_DBTP

    peak = true_peak_dbtp(limit(loud))

    assert peak <= TRUE_PEAK_DBTP


def test_loud_sound_is_lowered_no_further_than_needed():
    assert true_peak_dbtp(limit(three_talkers())) > -1.7


def test_quiet_sound_passes_bit_by_bit():
    for level in (-60, -20, -5, -1.6):
        sound = tone(997, SAMPLES, level)
        np.testing.assert_array_equal(limit(sound)[:, 0], sound.astype(np.float32))


def test_silence_is_exactly_silence():
    assert not limit(np.zeros(SAMPLES)).any()


def test_a_block_comes_out_when_the_next_one_goes_in():
    limiter = Limiter()
    first, second = blocks(np.stack([tone(50, 1920, -20)] * 2, axis=1))

    assert not limiter.process(first).any()
    np.testing.assert_array_equal(limiter.process(second), first)


def test_how_much_goes_in_at_once_makes_no_difference():
    sound = bursts() + 0.5 * three_talkers()
    stereo = np.repeat(sound[:, None], 2, axis=1).astype(np.float32)
    limiter = Limiter()
    out = [limiter.process(stereo[at : at + 2880]) for at in range(0, 33 * 2880, 2880)]

    np.testing.assert_allclose(
        np.concatenate(out)[960:], limit(sound)[: 33 * 2880 - 960], atol=1e-6
    )


def test_the_gain_is_down_before_the_peak_and_back_after_a_second():
    sound = tone(1000, SAMPLES, -20)
    sound[48_000:48_480] = tone(1000, 480, 12)
    out = limit(sound)[:, 0].astype(float)

    gain = np.abs(signal.hilbert(out)) / np.abs(signal.hilbert(sound))
    assert gain[46_000] == pytest.approx(1, abs=0.01)
    assert gain[48_240] == pytest.approx(10 ** (-13.5 / 20), rel=0.03)
    assert gain[48_480 + 7200] == pytest.approx(10 ** (-13.5 / 20 / np.e), rel=0.05)
    assert gain[-2000] == pytest.approx(1, abs=0.01)


def test_both_channels_share_the_gain_so_that_nothing_moves_sideways():
    stereo = np.stack([tone(997, SAMPLES, 6), tone(997, SAMPLES, -20)], axis=1)
    out = limit(stereo)

    steady = out[RATE:]
    difference = amplitude_db(steady[:, 0], 997) - amplitude_db(steady[:, 1], 997)
    assert difference == pytest.approx(26, abs=0.05)


def test_a_steady_tone_stays_a_tone():
    out = limit(tone(997, SAMPLES, 6))[RATE:, 0].astype(float)
    window = np.blackman(out.shape[0])
    spectrum = np.abs(np.fft.rfft(out * window)) / (window.sum() / 2)
    frequency = np.fft.rfftfreq(out.shape[0], 1 / RATE)

    distortion = spectrum[(np.abs(frequency - 997) > 20) & (frequency > 20)]
    assert 20 * np.log10(distortion.max()) < -50


def test_reduction_is_reported():
    limiter = Limiter()
    for block in blocks(np.stack([tone(997, 9600, 6)] * 2, axis=1)):
        limiter.process(block)
    assert limiter.reduction_db == pytest.approx(7.5, abs=0.2)

    for _ in range(200):
        limiter.process(np.zeros((960, 2), np.float32))
    assert limiter.reduction_db == 0
