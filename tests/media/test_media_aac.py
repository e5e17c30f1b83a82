import av
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.errors import InternalError
from worker.media.aac import PRIMING_SAMPLES, AacEncoder
from worker.ports import EncodedPacket, StreamKind


def tones(samples: int) -> NDArray[np.float32]:
    """440 Hz left, 880 Hz right."""
    time_s = np.arange(samples) / 48_000
    return np.stack(
        [0.5 * np.sin(2 * np.pi * 440 * time_s), 0.25 * np.sin(2 * np.pi * 880 * time_s)], axis=1
    ).astype(np.float32)


def encode(pcm: NDArray[np.float32], block_samples: int) -> list[EncodedPacket]:
    encoder = AacEncoder()
    packets: list[EncodedPacket] = []
    for start in range(0, len(pcm), block_samples):
        packets += encoder.encode(pcm[start : start + block_samples])
    return packets + list(encoder.flush())


def decoded(packets: list[EncodedPacket]) -> NDArray[np.float32]:
    """(samples, 2), priming included."""
    context = av.CodecContext.create("aac", "r")
    context.extradata = AacEncoder().stream.extradata
    frames = [frame for packet in packets for frame in context.decode(av.Packet(packet.data))]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T


def level(pcm: NDArray[np.float32], tone_hz: int) -> float:
    time_s = np.arange(len(pcm)) / 48_000
    return float(2 * abs(np.mean(pcm * np.exp(-2j * np.pi * tone_hz * time_s))))


@pytest.mark.parametrize("block_samples", [1, 960, 1024, 1600, 48_000])
def test_blocks_of_any_length_become_frames_of_1024_samples(block_samples: int) -> None:
    samples = 3000 if block_samples == 1 else 48_000
    packets = encode(tones(samples), block_samples)
    assert [packet.pts for packet in packets] == [
        1024 * index - PRIMING_SAMPLES for index in range(len(packets))
    ]
    assert all(packet.dts == packet.pts for packet in packets)
    assert all(packet.kind is StreamKind.AUDIO and packet.keyframe for packet in packets)
    assert sum(packet.duration for packet in packets) == samples + PRIMING_SAMPLES


def test_both_channels_come_out_where_and_as_loud_as_they_went_in() -> None:
    pcm = tones(48_000)
    sound = decoded(encode(pcm, 960))[PRIMING_SAMPLES:]
    middle = slice(9600, 38_400)
    assert level(sound[middle, 0], 440) == pytest.approx(0.5, rel=0.03)
    assert level(sound[middle, 1], 880) == pytest.approx(0.25, rel=0.03)
    assert level(sound[middle, 0], 880) < 0.005
    assert level(sound[middle, 1], 440) < 0.005
    assert np.abs(sound[middle] - pcm[middle]).mean() < 0.02


def test_sample_m_of_the_input_has_pts_m() -> None:
    pcm = np.zeros((20_000, 2), np.float32)
    pcm[12_345:12_369] = 0.9
    sound = np.abs(decoded(encode(pcm, 960))[:, 0])
    assert int(np.argmax(sound > 0.4)) - PRIMING_SAMPLES == pytest.approx(12_345, abs=8)


def test_a_block_may_be_overwritten_once_encode_returned() -> None:
    encoder = AacEncoder()
    pcm = tones(9600)
    packets: list[EncodedPacket] = []
    block = np.empty((100, 2), np.float32)
    for start in range(0, 9600, 100):
        block[:] = pcm[start : start + 100]
        packets += encoder.encode(block)
        block[:] = 0
    packets += encoder.flush()
    assert [packet.data for packet in packets] == [packet.data for packet in encode(pcm, 960)]


def test_the_bitrate_is_about_what_was_asked() -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, (5 * 48_000, 2)).astype(np.float32)
    packets = encode(noise, 960)
    kbps = sum(len(packet.data) for packet in packets) * 8 / 1000 / 5
    assert 115 < kbps < 141


def test_silence_stays_silence() -> None:
    assert np.abs(decoded(encode(np.zeros((48_000, 2), np.float32), 960))).max() < 1e-4


def test_the_stream_says_what_it_is() -> None:
    stream = AacEncoder(96).stream
    assert (stream.sample_rate_hz, stream.channels, stream.bitrate_kbps) == (48_000, 2, 96)
    # AudioSpecificConfig: object type 2 (LC), index 3 (48 kHz), 2 channels.
    assert stream.extradata[0] >> 3 == 2
    assert (stream.extradata[0] & 7) << 1 | stream.extradata[1] >> 7 == 3
    assert stream.extradata[1] >> 3 & 15 == 2


def test_nothing_in_gives_nothing_out() -> None:
    assert AacEncoder().flush() == []
    encoder = AacEncoder()
    assert encoder.encode(np.zeros((0, 2), np.float32)) == []


@pytest.mark.parametrize("shape", [(960,), (960, 1), (2, 960)])
def test_blocks_that_are_not_stereo_are_our_own_bug(shape: tuple[int, ...]) -> None:
    with pytest.raises(InternalError):
        AacEncoder().encode(np.zeros(shape, np.float32))
