"""Microphones that send next to nothing while nobody speaks, decoded by libopus itself."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.audio_signals import speech_like
from tests.support.opus_pauses import packets_with_pauses
from worker.core.audio.timeline import AudioTimeline
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S, SAMPLE_RATE_HZ
from worker.media.opus import OpusDecoder

S = SAMPLE_RATE_HZ


def levels_db(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """RMS of each 10 ms, dBFS."""
    pieces = pcm[: len(pcm) // 480 * 480].reshape(-1, 480).astype(np.float64)
    return np.asarray(20 * np.log10(np.sqrt(np.mean(pieces**2, axis=1)) + 1e-9))


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
    pause = levels_db(out[int(1.3 * S) : int(4.9 * S)])
    settled = levels_db(out[int(3.9 * S) : int(4.9 * S)])
    print(
        f"{len(packets)} packets of 350; the pause is {pause.min():.1f} to {pause.max():.1f} dBFS"
    )
    assert len(packets) < 190, "the encoder has sent the pause"
    assert pause.min() > noise_db - 12, "silence instead of noise"
    assert settled.max() < noise_db + 4
    assert np.ptp(np.percentile(settled, [5, 95])) < 8
    words = [levels_db(out[at : at + S]).max() for at in (0, 5 * S)]
    assert min(words) > -20
    assert timeline.statistics.concealed_samples == 0
