"""Whom one hears of 42 people who tell their levels (RFC 6464), most of whom are never decoded."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from scipy import signal

from tests.support import hearing
from tests.support.rehearse import Rehearsed, rehearse
from tests.support.selection import begins_within_s, heard, judge
from worker.core.audio.loudness import k_weighting
from worker.core.audio.shortlist import Shortlist
from worker.testroom.person import PEOPLE, tone_hz

COUNT = 42
"""The first 28 have tones of their own; the others share those and stay in the background."""
PERIOD_S = 3
PERIODS = 20
LADDER_DB = [-16 - 1.5 * step for step in range(PEOPLE)]
BACKGROUND_DB = -62
GAP_DB = 1.5
"""Between the third and the fourth; less is a difference nobody hears."""
TONES_HZ = [tone_hz(n) for n in range(PEOPLE)]


def k_weight_db(frequency_hz):
    _, response = signal.sosfreqz(k_weighting(), worN=[frequency_hz], fs=48_000)
    return 20 * np.log10(abs(response[0]))


K_DB = np.array([k_weight_db(hz) for hz in TONES_HZ])
"""Up to 4 dB apart: the loudest by level are not always the loudest to the ear."""


def deals():
    """Levels of the 28 in each period; the loudest three to the ear are 1.5 dB above the rest."""
    random = Random(6464)
    found = []
    while len(found) < PERIODS:
        levels = random.sample(LADDER_DB, PEOPLE)
        loudness = np.sort(np.array(levels) + K_DB)[::-1]
        if loudness[2] - loudness[3] >= GAP_DB:
            found.append(levels)
    return found


DEALS = deals()


def expected_in(period):
    order = np.argsort(np.array(DEALS[period]) + K_DB)[::-1]
    return {int(n) for n in order[:3]}


def scenario():
    lines = ["loop_s = 1"]
    for n in range(COUNT):
        level = DEALS[0][n] if n < PEOPLE else BACKGROUND_DB
        lines.append(
            f'[[participants]]\nuser_id = "user-{n}"\ncolour = {n % PEOPLE}\ncamera = false\n'
            f'microphone = {{mode = "tone", level_db = {level}, beep = false}}'
        )
    for period in range(1, PERIODS):
        lines += [
            f'[[events]]\nat_s = {period * PERIOD_S}\nuser_id = "user-{n}"\ndo = "voice"\n'
            f"microphone = {{level_db = {DEALS[period][n]}}}"
            for n in range(PEOPLE)
        ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    done = rehearse(
        tmp_path_factory.mktemp("crowd"),
        scenario(),
        template="audio_only",
        seconds=PERIODS * PERIOD_S,
        audio={"levelling": False},
    )
    return done, hearing.mono(done.recording.sound())


def test_the_right_three_of_42_are_heard(crowd):
    done, pcm = crowd
    verdict = judge(
        heard(pcm, TONES_HZ),
        lambda time_s: expected_in(int(time_s / PERIOD_S)),
        [period * PERIOD_S for period in range(PERIODS)],
    )

    print(verdict)
    assert verdict.judged > 500
    assert verdict.share >= 0.99
    for n in range(PEOPLE, COUNT):
        assert done.participant(f"user-{n}")["speaker_turns"] == []


def test_most_of_the_crowd_is_never_decoded(crowd):
    """A track that is decoded for a while only has decoded little."""
    done, _ = crowd
    decoded = [done.participant(f"user-{n}")["tracks"][0]["packets_decoded"] for n in range(COUNT)]

    seconds = PERIODS * PERIOD_S
    print(f"decoded {sum(decoded)} of {COUNT * seconds * 50} packets")
    # Seven places, some warm-ups, and the ones whose places are taken over.
    assert sum(decoded) <= Shortlist(3).places * seconds * 50 * 1.3


def among_thirty(one: str, seconds: float, directory: Path) -> Rehearsed:
    """Record *one* (TOML text), who has tone 9, among thirty who talk at -30 dBFS and less."""
    lines = ["loop_s = 1"]
    lines += [
        f'[[participants]]\nuser_id = "user-{n}"\ncolour = {10 + n % 18}\ncamera = false\n'
        f'microphone = {{mode = "tone", level_db = {-30 - n % 18}, beep = false}}'
        for n in range(30)
    ]
    return rehearse(
        directory,
        "\n".join([*lines, one]),
        template="audio_only",
        seconds=seconds,
        audio={"levelling": False},
    )


def test_a_newcomers_first_20_ms_are_heard_in_a_crowd_too(tmp_path):
    """One who was never decoded begins at 5 s, louder than all."""
    done = among_thirty(
        '[[participants]]\nuser_id = "new"\ncolour = 9\ncamera = false\n'
        'microphone = {mode = "silent", level_db = -18, beep = false}\n'
        '[[events]]\nat_s = 5.0\nuser_id = "new"\ndo = "voice"\n'
        'microphone = {mode = "tone", level_db = -18, beep = false}\n',
        8,
        tmp_path,
    )

    pcm = hearing.mono(done.recording.sound())
    from_s = begins_within_s(pcm, tone_hz(9), -18)
    # Half of the strength is reached where half the 8.3 ms window is filled; Opus adds 6.5 ms.
    assert from_s - 5.0 <= 0.020, f"heard from {from_s:.4f} s on"
    # Three seconds, and before them a look-ahead, a warm-up, and what had been given a place.
    assert done.participant("new")["tracks"][0]["packets_decoded"] < 4.25 * 50


def test_who_sends_next_to_nothing_between_words_is_heard_from_the_first_20_ms_on(tmp_path):
    """One beeps once a second, louder than all, and leaves out what is between."""
    seconds = 10
    done = among_thirty(
        '[[participants]]\nuser_id = "ada"\ncolour = 9\ncamera = false\ndtx = true\n'
        'microphone = {mode = "beep", level_db = -18}\n',
        seconds,
        tmp_path,
    )

    beeps_s = hearing.beep_onsets(hearing.mono(done.recording.sound()), tone_hz(9))
    late_ms = 1000 * (beeps_s - np.round(beeps_s))
    track = done.participant("ada")["tracks"][0]
    print(f"beeps late by {np.round(late_ms, 1)} ms, {track['packets_received']} packets")
    assert len(beeps_s) >= seconds - 1
    assert np.abs(late_ms).max() <= 20
    assert track["packets_received"] < 25 * seconds
    assert track["concealed_ms"] == 0
