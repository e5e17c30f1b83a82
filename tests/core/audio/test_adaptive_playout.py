"""Errors of 10 to 300 ms between where a track is and where it should be: spliced away unheard."""

import numpy as np
import pytest
from scipy import signal

from tests.support.audio_signals import RATE, db, speech_like
from tests.support.fake_opus import FakeOpus, packet
from worker.core.audio.timeline import AudioTimeline
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES
from worker.testroom.person import Person
from worker.testroom.voice import Voice, VoiceMode
from worker.testroom.voice import sound as spoken

MS_NS = 1_000_000
STEP_BLOCK = 100
"""Two seconds in, the sender's clock map moves."""
SETTLED_BLOCK = STEP_BLOCK + 100
"""Two seconds later the error must be gone."""
BLOCKS = 400
SHIFTS_MS = [-290, -120, -40, -15, 15, 40, 120, 290]


def tone_at(positions, hz=437.0):
    return 0.5 * np.sin(2 * np.pi * hz * positions / RATE)


VOWELS = np.tile(spoken(Voice(VoiceMode.SPEECH, beep=False), Person(4, "Ada"), 6), 2)
HISS = speech_like(12 * RATE, -20, seed=5, pauses=False)
"""Noise in syllables: nothing in it has a period."""


def vowels_at(positions):
    return VOWELS[positions]


def hiss_at(positions):
    return HISS[positions]


def play(sound, shift_ms):
    """The track's sound while the map moves by *shift_ms*, and the timeline.

    Third comes the first block after the step that was spliced no more.
    """
    offset_ns = 0

    def capture_ns(_epoch, timestamp):
        return timestamp * 1_000_000_000 // RATE + offset_ns

    timeline = AudioTimeline(FakeOpus(sound), capture_ns)
    out = []
    sent, done = 0, STEP_BLOCK
    for index in range(BLOCKS):
        if index == STEP_BLOCK:
            offset_ns = shift_ms * MS_NS
        while capture_ns(0, sent * 960) < (index + 16) * BLOCK_NS:
            timeline.push(0, sent * 960, packet(sent * 960))
            sent += 1
        before = timeline.statistics.spliced_blocks
        out += timeline.blocks(index * BLOCK_NS, 1)
        if timeline.statistics.spliced_blocks > before:
            done = index + 1
    return np.concatenate(out)[:, 0].astype(float), timeline, done


def displacement_ms(out, sound, block):
    """By how much *out* plays an earlier part of *sound* than without any shift."""
    begin = block * BLOCK_SAMPLES
    piece = out[begin : begin + RATE // 2]
    reach = 320 * 48
    reference = sound(np.arange(begin - reach, begin + RATE // 2 + reach))
    products = signal.correlate(reference, piece, mode="valid")
    energy = signal.fftconvolve(np.square(reference), np.ones(len(piece)), mode="valid")
    return (reach - int(np.argmax(products / np.sqrt(energy)))) / 48


@pytest.mark.parametrize("sound", [vowels_at, hiss_at], ids=["vowels", "hiss"])
@pytest.mark.parametrize("shift_ms", SHIFTS_MS)
def test_the_error_is_gone_within_two_seconds_without_a_jump(sound, shift_ms):
    out, timeline, _ = play(sound, shift_ms)

    assert displacement_ms(out, sound, STEP_BLOCK - 30) == pytest.approx(0, abs=0.05)
    assert displacement_ms(out, sound, SETTLED_BLOCK) == pytest.approx(shift_ms, abs=11)
    assert displacement_ms(out, sound, BLOCKS - 30) == pytest.approx(shift_ms, abs=1.5)
    assert timeline.statistics.spliced_blocks >= abs(shift_ms) // 15
    assert timeline.statistics.reanchors == 0
    assert timeline.statistics.concealed_samples == 0


@pytest.mark.parametrize("shift_ms", SHIFTS_MS)
@pytest.mark.parametrize("hz", [437.0, 151.3, 2939.0])
def test_a_tone_keeps_its_pitch_and_its_strength_and_does_not_click(hz, shift_ms):
    out, timeline, done = play(lambda positions: tone_at(positions, hz), shift_ms)

    analytic = signal.hilbert(out)
    judged = slice(RATE // 2, len(out) - RATE // 2)
    strength_db = 20 * np.log10(np.abs(analytic[judged]) / 0.5)
    assert np.abs(strength_db).max() < 0.5
    # Over 200 ms, until what is left of the error is stretched away (at up to 14 cents).
    turns = np.unwrap(np.angle(analytic)) / (2 * np.pi)
    begin, end, span = (STEP_BLOCK - 10) * 960, done * 960, 9600
    frequency = (turns[begin + span : end] - turns[begin : end - span]) / 0.2
    assert timeline.statistics.spliced_blocks >= abs(shift_ms) // 15
    assert np.abs(frequency - hz).max() < 1.0
    sections = signal.butter(8, 6000, "highpass", fs=RATE, output="sos")
    high = np.abs(signal.sosfiltfilt(sections, out))[judged]
    assert db(float(high.max())) < -55


@pytest.mark.parametrize("shift_ms", SHIFTS_MS)
def test_speech_has_no_click_and_no_step_of_energy(shift_ms):
    out, _, _ = play(vowels_at, shift_ms)

    sections = signal.butter(8, 8000, "highpass", fs=RATE, output="sos")
    high = np.abs(signal.sosfiltfilt(sections, out))[4800:-4800]
    natural = np.abs(signal.sosfiltfilt(sections, VOWELS))[4800:-4800]
    print(f"above 8 kHz: {db(high.max()):.1f} dBFS, before {db(natural.max()):.1f} dBFS")
    assert db(float(high.max())) < -50
    power = signal.fftconvolve(np.square(out), np.ones(960) / 960, "same")[4800:-4800]
    usual = signal.fftconvolve(np.square(VOWELS.astype(float)), np.ones(960) / 960, "same")
    assert power.max() < 1.1 * usual.max()


def test_beyond_300_ms_time_is_broken_and_jumped():
    _, timeline, _ = play(vowels_at, 310)

    assert timeline.statistics.reanchors == 1
    assert timeline.statistics.spliced_blocks == 0


def test_in_silence_250_ms_are_gone_within_half_a_second():
    def quiet(positions):
        return vowels_at(positions) * 1e-4

    out, timeline, done = play(quiet, 250)

    assert done <= STEP_BLOCK + 25
    assert timeline.statistics.reanchors == 0
    assert displacement_ms(out, quiet, SETTLED_BLOCK) == pytest.approx(250, abs=1.5)


def test_without_packets_ahead_nothing_is_guessed_in_order_to_splice():
    """Packets that come just in time: an error is stretched away as before, or waits."""
    offset_ns = 0

    def capture_ns(_epoch, timestamp):
        return timestamp * 1_000_000_000 // RATE + offset_ns

    timeline = AudioTimeline(FakeOpus(vowels_at), capture_ns)
    for index in range(60):
        if index == 20:
            offset_ns = -30 * MS_NS
        timeline.push(0, index * 960, packet(index * 960))
        timeline.push(0, (index + 1) * 960, packet((index + 1) * 960))
        timeline.block(index * BLOCK_NS)

    assert timeline.statistics.concealed_samples <= 960 * 2
