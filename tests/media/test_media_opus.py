import ctypes
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.core.audio.timeline import WARM_UP
from worker.errors import InternalError, MediaError
from worker.media import opus
from worker.media.opus import OpusDecoder, candidates, libopus, load
from worker.media.opus_packet import MAX_PACKET_BYTES, describe

TONE_HZ = 440
AMPLITUDE = 0.3


@cache
def tone_packets(
    channels: int, seconds: float = 1.0, options: tuple[tuple[str, str], ...] = ()
) -> tuple[bytes, ...]:
    """20 ms packets of a 440 Hz tone; the right channel is at half the level."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate = 48_000
    context.layout = "mono" if channels == 1 else "stereo"
    context.format = "flt"
    context.bit_rate = 128_000
    context.time_base = Fraction(1, 48_000)
    context.options = {"frame_duration": "20", **dict(options)}
    time_s = np.arange(int(seconds * 48_000)) / 48_000
    tone = AMPLITUDE * np.sin(2 * np.pi * TONE_HZ * time_s)
    pcm = np.stack([tone, tone / 2][:channels], axis=1).astype(np.float32)
    packets = []
    for start in range(0, len(pcm), 960):
        frame = av.AudioFrame.from_ndarray(
            pcm[start : start + 960].reshape(1, -1), format="flt", layout=context.layout
        )
        frame.sample_rate = 48_000
        frame.pts = start
        frame.time_base = Fraction(1, 48_000)
        packets += [bytes(packet) for packet in context.encode(frame)]
    # libopus takes its time to notice that a tone is stereo.
    return tuple(packets[5:])


def tone_level(pcm: NDArray[np.float32]) -> float:
    """Amplitude of the tone in a stretch of one channel, whatever its phase."""
    time_s = np.arange(len(pcm)) / 48_000
    return float(2 * abs(np.mean(pcm * np.exp(-2j * np.pi * TONE_HZ * time_s))))


def carried_by_pyav() -> ctypes.CDLL:
    library = load(next(name for name in candidates() if "av.libs" in name))
    assert library is not None
    return library


@pytest.fixture(params=["best", "carried", "ffmpeg"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OpusDecoder:
    if request.param == "ffmpeg":
        monkeypatch.setattr(opus, "libopus", lambda: None)
    return OpusDecoder(carried_by_pyav() if request.param == "carried" else None)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_comes_out_as_it_went_in(decoder: OpusDecoder, channels: int) -> None:
    blocks = [decoder.decode(packet) for packet in tone_packets(channels)]
    assert all(block.shape == (960, channels) and block.dtype == np.float32 for block in blocks)
    pcm = np.concatenate(blocks)[4800:33600]
    assert tone_level(pcm[:, 0]) == pytest.approx(AMPLITUDE, rel=0.05)
    if channels == 2:
        assert tone_level(pcm[:, 1]) == pytest.approx(AMPLITUDE / 2, rel=0.1)


def test_after_a_warm_up_a_decoder_that_joins_is_as_loud_as_one_that_was_always_there() -> None:
    packets = tone_packets(1, 2.0)
    always = OpusDecoder()
    expected = [always.decode(packet) for packet in packets]
    for first in range(40, 50):
        joining = OpusDecoder()
        for packet in packets[first - WARM_UP // 960 : first]:
            joining.decode(packet)
        for index in range(first, first + 10):
            heard = tone_level(joining.decode(packets[index])[:, 0])
            assert heard == pytest.approx(tone_level(expected[index][:, 0]), rel=0.01)


def test_a_libopus_is_found_here() -> None:
    assert libopus() is not None


def test_the_copy_inside_pyav_is_used_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def load_only_the_carried(name: str) -> ctypes.CDLL | None:
        asked.append(name)
        return load(name) if "av.libs" in name else None

    monkeypatch.setattr(opus, "load", load_only_the_carried)
    library = libopus.__wrapped__()
    assert library is not None and "av.libs" in library._name
    assert "av.libs" not in asked[0]


def test_something_that_is_not_libopus_is_not_loaded() -> None:
    assert load("libopus-of-another-world.so.99") is None
    assert load("libc.so.6") is None


@pytest.mark.parametrize("milliseconds", [2.5, 5, 10, 20, 40, 60, 120])
def test_packets_of_every_length_are_as_long_as_they_say(
    decoder: OpusDecoder, milliseconds: float
) -> None:
    samples = round(milliseconds * 48)
    # Put together by hand: code 3, silent CELT frames of up to 20 ms.
    config = {120: 28, 240: 29, 480: 30, 960: 31}
    frame = min(samples, 960)
    count = samples // frame
    packet = bytes([config[frame] << 3 | 3, count]) + b"\xff\xfe" * count
    assert decoder.decode(packet).shape == (samples, 1)


def test_channels_widen_once_and_never_narrow(decoder: OpusDecoder) -> None:
    mono, stereo = tone_packets(1), tone_packets(2)
    shapes = [
        decoder.decode(packet).shape[1]
        for packet in (mono[0], mono[1], stereo[2], mono[3], stereo[4])
    ]
    assert shapes == [1, 1, 2, 2, 2]
    assert decoder.conceal(960).shape == (960, 2)


def test_a_mono_packet_sounds_on_both_channels_after_stereo(decoder: OpusDecoder) -> None:
    decoder.decode(tone_packets(2)[0])
    pcm = np.concatenate([decoder.decode(packet) for packet in tone_packets(1)])[9600:]
    assert tone_level(pcm[:, 0]) == pytest.approx(AMPLITUDE, rel=0.05)
    assert tone_level(pcm[:, 1]) == pytest.approx(AMPLITUDE, rel=0.05)


def test_a_lost_packet_is_recovered_from_the_next_one() -> None:
    voice = (("application", "voip"), ("fec", "1"), ("packet_loss", "30"))
    packets = tone_packets(1, 1.0, voice)
    decoder = OpusDecoder()
    for packet in packets[:20]:
        decoder.decode(packet)
    recovered = decoder.recover(packets[21], 960)
    assert recovered.shape == (960, 1)
    assert tone_level(recovered[:, 0]) == pytest.approx(AMPLITUDE, rel=0.25)
    after = np.concatenate([decoder.decode(packet) for packet in packets[21:30]])
    assert tone_level(after[960:, 0]) == pytest.approx(AMPLITUDE, rel=0.1)


def test_concealment_continues_the_tone_and_fades_it() -> None:
    decoder = OpusDecoder()
    for packet in tone_packets(1)[:20]:
        decoder.decode(packet)
    first = decoder.conceal(960)
    assert tone_level(first[:, 0]) > AMPLITUDE / 3
    long = decoder.conceal(48_000)
    assert long.shape == (48_000, 1)
    assert np.abs(long[-960:]).max() < AMPLITUDE / 5


def test_without_libopus_a_loss_is_faded_out_in_5_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "libopus", lambda: None)
    decoder = OpusDecoder()
    last = np.concatenate([decoder.decode(packet) for packet in tone_packets(1)[:20]])[-1, 0]
    stand_in = decoder.conceal(960)
    assert stand_in[0, 0] == pytest.approx(last, abs=1e-6)
    assert np.abs(np.diff(stand_in[:, 0])).max() <= abs(last) / 200
    assert not stand_in[240:].any()


@pytest.mark.parametrize("samples", [0, 1, 119, 120, 121, 960, 5760, 5761, 20_000])
def test_any_number_of_samples_can_be_stood_in_for(decoder: OpusDecoder, samples: int) -> None:
    packets = tone_packets(2)
    decoder.decode(packets[0])
    assert decoder.conceal(samples).shape == (samples, 2)
    assert decoder.recover(packets[3], samples).shape == (samples, 2)
    assert np.isfinite(decoder.decode(packets[3])).all()


def test_a_negative_loss_is_our_own_bug(decoder: OpusDecoder) -> None:
    with pytest.raises(InternalError):
        decoder.conceal(-1)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff" * (MAX_PACKET_BYTES + 1),
        bytes([31 << 3 | 3]),  # code 3 without its count
        bytes([31 << 3 | 3, 0]),  # no frames
        bytes([31 << 3 | 3, 7]) + b"\0" * 40,  # 140 ms
        bytes([3 << 3 | 1]) + b"\0" * 3,  # 2 x 60 ms, but halves that differ
    ],
)
def test_packets_against_the_rules_are_media_errors(decoder: OpusDecoder, packet: bytes) -> None:
    with pytest.raises(MediaError):
        decoder.decode(packet)
    assert decoder.decode(tone_packets(1)[0]).shape == (960, 1)


@pytest.mark.parametrize(
    ("toc", "samples", "is_stereo"),
    [
        (0 << 3, 480, False),
        (1 << 3 | 4, 960, True),
        (2 << 3, 1920, False),
        (11 << 3, 2880, False),
        (12 << 3, 480, False),
        (15 << 3 | 4, 960, True),
        (16 << 3, 120, False),
        (29 << 3, 240, False),
        (31 << 3 | 4, 960, True),
        (31 << 3 | 1, 1920, False),
        (31 << 3 | 2, 1920, False),
    ],
)
def test_the_first_byte_tells_length_and_channels(toc: int, samples: int, is_stereo: bool) -> None:
    packet = describe(bytes([toc, 0, 0]))
    assert (packet.samples, packet.is_stereo) == (samples, is_stereo)


def test_random_packets_give_finite_sound_or_a_media_error(decoder: OpusDecoder) -> None:
    source = np.random.default_rng(7)
    for _ in range(500):
        packet = source.integers(0, 256, source.integers(1, 200)).astype(np.uint8).tobytes()
        try:
            pcm = decoder.decode(packet)
        except MediaError:
            continue
        assert np.isfinite(pcm).all()
        assert len(pcm) == describe(packet).samples
