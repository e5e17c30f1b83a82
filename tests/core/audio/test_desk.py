from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest
from scipy import signal

from tests.support.audio_signals import (
    RATE,
    amplitude_db,
    blocks,
    db,
    speech_like,
    tone,
    true_peak_dbtp,
)
from worker.core.audio.desk import LATENCY_BLOCKS, Desk
from worker.core.audio.loudness import k_weighting
from worker.core.audio.speakers import SpeakerTurn
from worker.core.spec import AudioSpec

PLAIN = AudioSpec(levelling=False)


def run(voices, spec=PLAIN, first_block=0, at_once=3):
    """All of *voices*, name to samples, through a desk: (samples, 2), aligned with the input."""
    desk = Desk(spec)
    pieces = {name: list(blocks(sound)) for name, sound in voices.items()}
    count = max(map(len, pieces.values()))
    present = [
        {name: piece[index] for name, piece in pieces.items() if index < len(piece)}
        for index in range(count)
    ]
    out = []
    for first in range(0, count, at_once):
        out += desk.process(first_block + first, present[first : first + at_once])
    assert len(out) == count - LATENCY_BLOCKS
    out = np.concatenate([*out, *desk.flush()])
    assert out.shape == (count * 960, 2)
    assert out.dtype == np.float32
    return out, desk


def test_sound_comes_out_at_the_very_sample_it_went_in():
    sound = speech_like(RATE * 3, -24, seed=1)

    out, _ = run({"a": sound}, first_block=-7)

    np.testing.assert_allclose(out[960:-960, 0], sound[960:-960].astype(np.float32), atol=1e-7)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])


def test_silence_is_exactly_zero():
    out, desk = run({name: np.zeros(RATE * 2) for name in "abcde"})

    assert not out.any()
    assert desk.heard == frozenset()
    assert desk.take_turns() == []


def test_an_empty_room_is_silent_too():
    desk = Desk(AudioSpec())
    out = [block for index in range(50) for block in desk.process(index, [{}])]

    assert len(out) == 50 - LATENCY_BLOCKS
    assert not any(block.any() for block in out)
    assert len(desk.flush()) == LATENCY_BLOCKS
    assert Desk(AudioSpec()).flush() == []


# --- the right three ------------------------------------------------------------------------

PITCHES_HZ = [300, 433, 577, 719, 877, 1031, 1187, 1361, 1543, 1721]
WINDOW = RATE // 10
CHANGE_FREE_WINDOWS = 3
"""Windows within 300 ms after a change are not judged."""


def k_weight_db(frequency_hz):
    _, response = signal.sosfreqz(k_weighting(), worN=[frequency_hz], fs=RATE)
    return db(abs(response[0]))


def ten_people(step_db, period_windows, changes, seed):
    """Ten tones whose K-weighted levels are dealt anew every period; (voices, levels)."""
    rng = np.random.default_rng(seed)
    ladder = -20 - step_db * np.arange(10)
    levels = [rng.permutation(ladder) for _ in range(changes)]
    ramp = np.hanning(2 * 240)[:240]
    voices = {}
    for person, pitch in enumerate(PITCHES_HZ):
        gains = [10 ** ((level[person] - k_weight_db(pitch)) / 20) for level in levels]
        envelope = np.repeat(gains, period_windows * WINDOW)
        for change, (before, after) in enumerate(pairwise(gains), start=1):
            start = change * period_windows * WINDOW
            envelope[start : start + 240] = before + (after - before) * ramp
        voices[person] = envelope * tone(pitch, envelope.shape[0])
    return voices, levels


@pytest.mark.parametrize("step_db", [1.5, 2, 3, 4.4])
def test_exactly_the_three_loudest_of_ten_are_heard(step_db):
    period, right, judged = 13, 0, 0
    voices, levels = ten_people(step_db, period, changes=20, seed=round(step_db * 10))
    out, _ = run(voices)
    for window in range(len(levels) * period):
        if window % period < CHANGE_FREE_WINDOWS:
            continue
        level = levels[window // period]
        piece = out[window * WINDOW : (window + 1) * WINDOW, 0]
        heard = {
            person
            for person, pitch in enumerate(PITCHES_HZ)
            if amplitude_db(piece, pitch) > max(-60, level[person] - k_weight_db(pitch) - 6)
        }
        judged += 1
        right += heard == set(np.argsort(-level)[:3].tolist())
    print(f"{step_db} dB: {right} of {judged} windows right")
    assert right / judged >= 0.99


def test_no_swap_clicks():
    """What is left besides the tones, measured with 5 ms windows through a high-pass."""
    voices, _ = ten_people(3, 13, changes=20, seed=5)
    out, desk = run(voices)
    assert len(desk.take_turns()) > 20

    sos = signal.butter(10, 5000, "highpass", fs=RATE, output="sos")
    residue = signal.sosfiltfilt(sos, out[:, 0].astype(float))[960:]

    print(f"loudest residue above 5 kHz: {db(np.abs(residue).max()):.1f} dBFS")
    assert db(float(np.abs(residue).max())) < -50


@pytest.mark.parametrize("burst_ms", [100, 240, 400])
def test_bursts_in_turns_neither_flap_nor_click(burst_ms):
    """Fault table, M19: three talk, three others cough louder in turns."""
    count, seconds = RATE * 20, np.arange(RATE * 20) / RATE
    voices = {f"talker{n}": tone(300 + 133 * n, count, -26 - n) for n in range(3)}
    for n in range(3):
        turn = np.floor(seconds * 1000 / burst_ms) % 3 == n
        # Coughs begin and end within 5 ms: a swap is to make the only clicks there are.
        soft = np.convolve(turn, np.hanning(482)[1:-1] / np.hanning(482).sum(), "same")
        voices[f"cougher{n}"] = tone(900 + 211 * n, count, -16) * soft

    out, desk = run(voices)

    turns = [turn for turn in desk.take_turns() if turn.end_block < 1000]
    sos = signal.butter(10, 5000, "highpass", fs=RATE, output="sos")
    residue = signal.sosfiltfilt(sos, out[:, 0].astype(float))[960:]
    print(f"{len(turns)} swaps in 20 s, residue {db(np.abs(residue).max()):.1f} dBFS")
    # At most two a second for each place (see `speakers.BURST_TAKEOVERS`).
    assert len(turns) <= 3 * 2 * 20
    assert db(float(np.abs(residue).max())) < -50


@pytest.mark.parametrize("every_ms", [300, 450, 700])
def test_in_a_roll_call_every_word_is_heard(every_ms):
    """Ten people say a word each, in turn and twice: more swaps than M19 would have."""
    word, every = RATE // 4, every_ms * RATE // 1000
    soft = signal.windows.tukey(word, 0.1)
    count = RATE + 20 * every
    voices = {person: np.zeros(count) for person in range(10)}
    for turn in range(20):
        start = RATE // 2 + turn * every
        person = turn * 7 % 10
        level_db = -20 - turn % 4
        voices[person][start : start + word] = soft * tone(PITCHES_HZ[person], word, level_db)

    out, _ = run(voices)

    missing = out[:, 0] - sum(voices.values())
    print(f"loudest thing missing {db(np.abs(missing).max()):.1f} dBFS")
    assert db(np.abs(missing).max()) < -50


def test_a_swap_leaves_the_other_voices_untouched():
    """Between the tones nothing shows up that is louder than -50 dBFS either."""
    count = RATE * 4
    rise = np.clip((np.arange(count) - count // 2) / 960, 0, 1)
    voices = {
        "a": tone(440, count, -14),
        "b": tone(660, count, -14),
        "c": tone(3000, count, -20),
        "d": tone(5000, count, -60) + tone(5000, count, -14) * (0.5 - 0.5 * np.cos(np.pi * rise)),
    }
    out, desk = run(voices)
    left = {turn.voice: turn for turn in desk.take_turns()}
    assert left["c"].end_block == pytest.approx(100, abs=3)

    swap = out[count // 2 - 4800 : count // 2 + 4800, 0].astype(float)
    steady = sum(tone(f, count, -14) for f in (440, 660))[count // 2 - 4800 : count // 2 + 4800]
    residue = swap - steady
    for frequency in (3000, 5000):
        band = [frequency - 700, frequency + 700]
        residue = signal.sosfiltfilt(
            signal.butter(4, band, "bandstop", fs=RATE, output="sos"), residue
        )
    click = db(float(np.abs(residue[480:-480]).max()))

    print(f"loudest residue between the tones: {click:.1f} dBFS")
    assert click < -50


# --- a newcomer's first 20 ms ---------------------------------------------------------------


@pytest.mark.parametrize("onset_sample", [96_000, 96_100, 96_500, 96_959])
@pytest.mark.parametrize("company", [0, 2, 3])
def test_the_first_20_ms_of_a_newcomer_are_there(onset_sample, company):
    count = RATE * 4
    voices = {f"p{n}": tone(300 + 150 * n, count, -26) for n in range(company)}
    newcomer = np.zeros(count)
    newcomer[onset_sample:] = tone(2000, count - onset_sample, -20)

    out, _ = run({**voices, "new": newcomer})

    first = slice(onset_sample, onset_sample + 960)
    rest = sum((sound[first] for sound in voices.values()), np.zeros(960))
    got = out[first, 0] - rest
    np.testing.assert_allclose(
        amplitude_db(out[first, 0], 2000), amplitude_db(newcomer[first], 2000), atol=0.1
    )
    if company < 3:
        np.testing.assert_allclose(got, newcomer[first], atol=1e-4)


def test_a_newcomer_with_a_soft_beginning_is_heard_from_the_start():
    count = RATE * 4
    voices = {f"p{n}": speech_like(count, -26, seed=n, pauses=False) for n in range(3)}
    speech = speech_like(count, -18, seed=9, pauses=False)
    onset = RATE * 2 + 333
    swell = np.clip((np.arange(count) - onset) / (0.15 * RATE), 0, 1)

    _, desk = run({**voices, "new": speech * swell})

    turns = {turn.voice: turn for turn in desk.take_turns()}
    assert turns["new"].start_block <= onset // 960


# --- loudness and peaks ---------------------------------------------------------------------


@pytest.mark.parametrize("levelling", [True, False])
def test_three_full_scale_talkers_stay_below_minus_one_dbtp(levelling):
    count = RATE * 6
    voices = {
        "a": np.clip(speech_like(count, 0, seed=1), -1, 1),
        "b": np.clip(speech_like(count, 0, seed=2), -1, 1),
        "c": tone(997, count, 0),
    }
    out, desk = run(voices, AudioSpec(levelling=levelling))

    peak = true_peak_dbtp(out)
    print(f"true peak {peak:.2f} dBTP")
    assert peak <= -1
    assert np.abs(sum(voices.values())).max() > 1.5


def test_a_single_voice_is_levelled_to_the_target():
    out, _ = run({"a": speech_like(RATE * 20, -33, seed=3)}, AudioSpec())

    settled = out[RATE * 5 :].astype(float)
    assert pyloudnorm.Meter(RATE).integrated_loudness(settled) == pytest.approx(-16, abs=1)
    whole = pyloudnorm.Meter(RATE).integrated_loudness(out.astype(float))
    assert whole == pytest.approx(-16, abs=1.5)


def test_a_quiet_and_a_loud_person_end_up_equally_loud():
    count = RATE * 24
    seconds = np.arange(count) / RATE
    ann = speech_like(count, -34, seed=4, pauses=False) * (seconds % 8 < 4)
    ben = speech_like(count, -12, seed=5, pauses=False) * (seconds % 8 >= 4)

    out, _ = run({"ann": ann, "ben": ben}, AudioSpec())

    meter = pyloudnorm.Meter(RATE)
    ann_lufs = meter.integrated_loudness(out[16 * RATE + 9600 : 20 * RATE].astype(float))
    ben_lufs = meter.integrated_loudness(out[20 * RATE + 9600 :].astype(float))
    assert ann_lufs == pytest.approx(-16, abs=1.5)
    assert ben_lufs == pytest.approx(-16, abs=1.5)


# --- the odd ones ---------------------------------------------------------------------------


def test_a_voice_that_ends_abruptly_does_not_click():
    loud = tone(300, RATE, -6)

    out, _ = run({"a": loud[: 960 * 25], "b": np.zeros(RATE * 2)})

    assert not out[960 * 25 :].any()
    assert np.abs(np.diff(out[:, 0], n=2)).max() < 0.002


def test_a_broken_voice_is_silent_and_the_others_are_heard():
    sound = tone(440, RATE * 2, -20)
    broken = np.full(RATE * 2, np.inf)

    out, _ = run({"a": sound, "b": broken})

    np.testing.assert_allclose(out[960:-960, 0], sound[960:-960], atol=1e-6)


def test_stereo_and_mono_voices_are_mixed_in_their_places():
    count = RATE * 2
    left = np.stack([tone(440, count, -20), np.zeros(count)], axis=1)

    out, _ = run({"a": left, "b": tone(1000, count, -20)})

    assert amplitude_db(out[4800:-4800, 0], 440) == pytest.approx(-20, abs=0.1)
    assert amplitude_db(out[4800:-4800, 1], 440) < -80
    assert amplitude_db(out[4800:-4800, 1], 1000) == pytest.approx(-20, abs=0.1)


def test_turns_tell_who_was_heard_and_end_with_the_recording():
    count = RATE * 4
    late = np.concatenate([np.zeros(RATE * 2), tone(700, RATE * 2, -20)])

    _, desk = run({"a": tone(440, count, -20), "b": late})

    assert sorted(desk.take_turns(), key=lambda turn: turn.voice) == [
        SpeakerTurn("a", 0, 200),
        SpeakerTurn("b", 98, 200),
    ]
    assert desk.take_turns() == []


def test_real_conversation_does_not_swap_more_than_its_limit():
    count = RATE * 30
    voices = {f"p{n}": speech_like(count, -20 - n, seed=20 + n) for n in range(6)}

    _, desk = run(voices)

    turns = desk.take_turns()
    print(f"{len(turns) - 3} swaps in 30 s")
    assert len(turns) - 3 <= 3 * 2 * 30


def test_blocks_must_come_one_after_the_other():
    desk = Desk(PLAIN)
    desk.process(5, [{}])

    with pytest.raises(AssertionError):
        desk.process(7, [{}])


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_how_many_blocks_are_put_in_at_once_makes_no_difference(at_once):
    count = RATE * 6
    voices = {f"p{n}": speech_like(count, -12 - 3 * n, seed=30 + n) for n in range(5)}
    voices["late"] = speech_like(count, -14, seed=40) * (np.arange(count) > 1.5 * RATE)
    voices["short"] = speech_like(RATE * 3 + 960, -10, seed=41)
    expected, _ = run(voices, AudioSpec())

    out, _ = run(voices, AudioSpec(), at_once=at_once)

    # The limiter comes to rest block by block: 1e-4 dB of its gain may differ.
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-6)


def test_whose_sound_is_needed_is_known_while_they_are_still_in_the_look_ahead():
    desk = Desk(PLAIN)
    sound = list(blocks(tone(440, RATE, -20)))
    desk.process(0, [{"a": block} for block in sound[:3]])

    assert desk.heard == frozenset()
    assert desk.chosen == {"a"}
    assert desk.loudness_lufs()["a"] == pytest.approx(-28, abs=1.5)

    for index in range(3, 100):
        desk.process(index, [{}])
    assert desk.chosen == frozenset()
