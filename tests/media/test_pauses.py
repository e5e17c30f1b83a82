"""Microphones that send next to nothing while nobody speaks, decoded by libopus itself."""

import numpy as np
import pytest

from tests.support import hearing
from tests.support.audio_signals import speech_like
from tests.support.opus_pauses import packets_with_pauses
from worker.core.audio.timeline import AudioTimeline
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ
from worker.media.opus import OpusDecoder

S = SAMPLE_RATE_HZ


@pytest.mark.parametrize("noise_db", [-45, -55, -65])
def test_the_noise_of_the_room_goes_on_evenly_through_a_pause(noise_db: int) -> None:
    """Two words with four seconds between them, in a room that is never quite still."""
    noise = np.random.default_rng(7).standard_normal(7 * S) * 10 ** (noise_db / 20)
    pcm = noise.astype(np.float32)
    pcm[:S] += speech_like(S, -20, seed=4)
    pcm[5 * S : 6 * S] += speech_like(S, -20, seed=5)
    packets = list(packets_with_pauses(pcm))
    timeline = AudioTimeline(OpusDecoder(), lambda _, rtp: rtp * NS_PER_S // S)
    for at, data in packets:
        timeline.push(0, at, data)

    blocks = [timeline.block(number * BLOCK_NS) for number in range(6 * S // BLOCK_SAMPLES)]

    silence = np.zeros((BLOCK_SAMPLES, 1), np.float32)
    out = np.concatenate([silence if block is None else block for block in blocks])[:, 0]
    pause = hearing.rms_levels_db(out[int(1.3 * S) : int(4.9 * S)], window_ms=10)
    settled = hearing.rms_levels_db(out[int(3.9 * S) : int(4.9 * S)], window_ms=10)
    print(
        f"{len(packets)} packets of 350; the pause is {pause.min():.1f} to {pause.max():.1f} dBFS"
    )
    assert len(packets) < 190, "the encoder has sent the pause"
    assert pause.min() > noise_db - 12, "silence instead of noise"
    assert settled.max() < noise_db + 4
    assert np.ptp(np.percentile(settled, [5, 95])) < 8
    words = [hearing.rms_levels_db(out[at : at + S], window_ms=10).max() for at in (0, 5 * S)]
    assert min(words) > -20
    assert timeline.statistics.concealed_samples == 0
