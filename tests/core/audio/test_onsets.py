import pytest

from worker.core.audio.loudness import VoiceLevel, lufs
from worker.core.audio.onsets import NEVER, TrackedVoice


def follow(voice, start, *loudness):
    """Loudness (blocks, LUFS) after loudness; levels over the right windows."""
    energies = getattr(voice, "_past", [0.0] * 20)
    block = start
    for blocks, value in loudness:
        for _ in range(blocks):
            energies = [*energies[1:], 0.0 if value is None else 10 ** ((value + 0.691) / 10)]
            voice.follow(
                block,
                VoiceLevel(energies[-1], lufs(sum(energies[-3:]) / 3), lufs(sum(energies) / 20)),
            )
            block += 1
    return voice


def test_an_onset_is_where_sound_follows_silence():
    assert follow(TrackedVoice(), 0, (100, None)).onset_block == NEVER
    assert follow(TrackedVoice(), 0, (100, None), (5, -30)).onset_block == 100
    assert follow(TrackedVoice(), 7, (30, -30)).onset_block == 7


def test_after_a_pause_of_more_than_400_ms_speech_has_a_new_onset():
    speech = (100, None), (50, -30)

    assert follow(TrackedVoice(), 0, *speech, (17, None), (50, -30)).onset_block == 100
    assert follow(TrackedVoice(), 0, *speech, (30, None), (50, -30)).onset_block == 180


def test_an_onset_stands_out_from_steady_noise_by_15_lu():
    assert follow(TrackedVoice(), 0, (100, -50), (50, -40)).onset_block == 0
    assert follow(TrackedVoice(), 0, (100, -50), (50, -30)).onset_block == 100


def test_a_newcomer_counts_in_full_after_100_ms():
    voice = follow(TrackedVoice(), 0, (100, None), (2, -20))
    assert voice.loudness_lufs == pytest.approx(-24, abs=0.1)

    assert follow(TrackedVoice(), 0, (100, None), (5, -20)).loudness_lufs == pytest.approx(-20)
    assert follow(TrackedVoice(), 0, (100, None), (30, -20)).loudness_lufs == pytest.approx(-20)


def test_silence_is_counted_from_when_the_loudness_is_below_the_gate():
    assert follow(TrackedVoice(), 0, (30, -20), (30, None)).silent_blocks == pytest.approx(
        11, abs=1
    )
    assert follow(TrackedVoice(), 0, (30, -20)).silent_blocks == 0
    assert follow(TrackedVoice(), 0, (30, -65)).silent_blocks == 30
