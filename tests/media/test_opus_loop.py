import av
import numpy as np
import pytest

from tests.support import hearing
from worker.media.opus_loop import encode_opus_loop
from worker.testroom.person import Person
from worker.testroom.voice import Voice, VoiceMode, sound

RATE = 48_000


def opus_pcm(packets: list[bytes]) -> np.ndarray:
    decoder = av.CodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    pcm = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    return pcm.astype(float) / (32768 if pcm.dtype == np.int16 else 1)


def test_an_opus_loop_is_in_time_and_joins_its_start():
    pcm = np.zeros(2 * 48_000, dtype=np.float32)
    pcm[24_000:28_800] = 0.5 * np.sin(2 * np.pi * 760 / 48_000 * np.arange(4800))

    packets = encode_opus_loop(pcm, 32)
    decoded = opus_pcm([*packets, *packets])

    assert len(packets) == 100
    assert len(decoded) == 4 * 48_000
    assert hearing.beep_onsets(decoded, 760) == pytest.approx([0.5, 2.5], abs=0.003)


def test_a_tone_goes_through_the_seam_without_a_click():
    pcm = (0.3 * np.sin(2 * np.pi * 400 / 48_000 * np.arange(48_000))).astype(np.float32)

    packets = encode_opus_loop(pcm, 32)
    decoded = opus_pcm([*packets, *packets, *packets])

    levels = hearing.tone_levels(decoded[9600:-9600], [400], window_ms=20)
    assert np.ptp(levels) < 1.0
    assert len(hearing.clicks(decoded[9600:-9600], above_hz=6000)) == 0


def test_opus_packets_carry_the_packet_before_for_repair():
    generator = np.random.default_rng(1)
    speech_like = (0.1 * generator.standard_normal(48_000)).astype(np.float32)

    packets = encode_opus_loop(speech_like, 32)

    # RFC 6716 section 3.1: configurations 0..15 have a SILK layer, the only one with in-band FEC.
    assert all(packet[0] >> 3 < 16 for packet in packets)


@pytest.mark.parametrize("level_db", [-20, -26])
@pytest.mark.parametrize("index", [0, 1, 5, 9])
def test_nobody_hears_where_ten_seconds_of_a_tone_begin_again(index: int, level_db: float):
    """Libopus may be in another state after ten seconds than after its run-up."""
    person = Person(index, "Ada")
    pcm = sound(Voice(VoiceMode.TONE, level=level_db, beep=False), person, 10)

    packets = encode_opus_loop(pcm, 32)
    decoded = opus_pcm([*packets[-100:], *packets[:50]])[RATE:]

    turns = 2 * np.pi * person.tone_hz / RATE * np.arange(len(decoded))
    tone = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    fitted, *_ = np.linalg.lstsq(tone, decoded, rcond=None)
    strays = decoded - tone @ fitted
    blocks_db = hearing.rms_levels_db(strays, window_ms=20)
    assert blocks_db.max() < hearing.rms_db(decoded) - 25
