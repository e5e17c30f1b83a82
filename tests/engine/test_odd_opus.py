"""Senders of Opus that do what others do not: every length, changing channels, pauses, garbage."""

from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from tests.support.audio_signals import RATE, amplitude_db, db, tone
from worker.core.audio.timeline import AudioTimeline
from worker.core.timing import BLOCK_NS
from worker.media.opus import OpusDecoder

TONE_HZ = 500
BEEP_AT_S = 2.0
"""Silence, then a tone from here on: where it begins tells whether time has drifted."""
OPUS_DELAY = 312
"""Samples by which an encoder lags (RFC 7845, 4.2: pre-skip)."""
MALFORMED = (
    b"",
    b"\xff",
    b"\x03",
    b"\x03\xff",
    b"\x7b\x00",
    b"\xfb\x31" + b"\x00" * 40,
    b"\x01\x00",
)
"""Nothing at all; frame counts missing, zero or beyond 120 ms; frames that do not add up."""


@cache
def encoded(frame_ms: float, channels: int) -> tuple[bytes, ...]:
    """Four seconds, 20 ms per packet or as long as *frame_ms*."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate = RATE
    context.layout = "mono" if channels == 1 else "stereo"
    context.format = "flt"
    context.bit_rate = 48_000
    context.time_base = Fraction(1, RATE)
    context.options = {
        "frame_duration": f"{frame_ms:g}",
        "application": "voip" if frame_ms >= 10 else "lowdelay",
    }
    length = 4 * RATE
    sound = tone(TONE_HZ, length, -12) * (np.arange(length) >= BEEP_AT_S * RATE)
    pcm = np.repeat(sound[:, None], channels, axis=1).astype(np.float32)
    step = round(frame_ms * 48)
    packets = []
    for start in range(0, length, step):
        piece = np.ascontiguousarray(pcm[start : start + step].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=context.layout)
        frame.sample_rate, frame.pts = RATE, start
        packets += [bytes(packet) for packet in context.encode(frame)]
    return tuple(packets)


def play(packets, blocks=200):
    """(timestamp, data) through a timeline and a real decoder: mono samples, and the timeline."""
    timeline = AudioTimeline(OpusDecoder(), lambda _, timestamp: timestamp * 1_000_000_000 // RATE)
    waiting = sorted(packets, reverse=True)
    out = []
    for first in range(0, blocks, 3):
        while waiting and waiting[-1][0] < (first + 18) * 960:
            timeline.push(0, *waiting.pop())
        blocks = timeline.blocks(first * BLOCK_NS, 3)
        out += [np.zeros(960) if block is None else block.mean(axis=1) for block in blocks]
    return np.concatenate(out).astype(float), timeline


def begins_s(sound):
    """Where the tone has reached a tenth of its strength."""
    strength = np.convolve(np.abs(sound), np.ones(96) / 96, "same")
    return int(np.argmax(strength > 0.1 * 0.25)) / RATE


def in_order(packets, frame_ms):
    return [(round(index * frame_ms * 48), data) for index, data in enumerate(packets)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 40, 60, 120])
def test_packets_of_every_length_are_heard_in_their_place(frame_ms, channels):
    sound, timeline = play(in_order(encoded(frame_ms, channels), frame_ms), blocks=195)

    assert np.isfinite(sound).all()
    assert begins_s(sound) == pytest.approx(BEEP_AT_S + OPUS_DELAY / RATE, abs=0.006)
    assert amplitude_db(sound[int(2.5 * RATE) : int(3.5 * RATE)], TONE_HZ) == pytest.approx(
        -12, abs=1
    )
    statistics = timeline.statistics
    assert statistics.concealed_samples == statistics.packets_late == 0
    assert statistics.stretched_blocks == statistics.reanchors == 0


def test_lengths_that_change_all_the_time_leave_every_sample_in_its_place():
    lengths_ms = [20, 2.5, 120, 10, 60, 5, 40]
    streams = {ms: encoded(ms, 1) for ms in lengths_ms}
    packets, at_ms, turn = [], 0.0, 0
    while at_ms < 3900:
        ms = next(
            each
            for each in (*lengths_ms[turn % 7 :], *lengths_ms)
            if at_ms % each == 0 and at_ms + each <= 4000
        )
        packets.append((round(at_ms * 48), streams[ms][round(at_ms / ms)]))
        at_ms += ms
        turn += 1

    sound, timeline = play(packets, blocks=190)

    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 0.6
    assert begins_s(sound) == pytest.approx(BEEP_AT_S, abs=0.02)
    assert timeline.statistics.concealed_samples == 0
    assert timeline.statistics.stretched_blocks == timeline.statistics.reanchors == 0


def test_channels_that_flip_with_every_packet_are_heard_without_a_gap():
    mono, stereo = encoded(20, 1), encoded(20, 2)
    packets = [(mono if index % 2 else stereo)[index] for index in range(199)]

    sound, timeline = play(in_order(packets, 20), blocks=195)

    assert np.isfinite(sound).all()
    assert begins_s(sound) == pytest.approx(BEEP_AT_S, abs=0.02)
    assert amplitude_db(sound[int(2.5 * RATE) : int(3.5 * RATE)], TONE_HZ) == pytest.approx(
        -12, abs=2
    )
    assert timeline.statistics.concealed_samples == 0


@pytest.mark.parametrize("every", [2, 7, 50])
def test_malformed_packets_cost_their_own_20_ms(every):
    packets = [
        MALFORMED[index // every % len(MALFORMED)] if index % every == 1 else data
        for index, data in enumerate(encoded(20, 1))
    ]

    sound, timeline = play(in_order(packets, 20), blocks=195)

    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 1.0
    assert begins_s(sound) == pytest.approx(BEEP_AT_S, abs=0.03)
    assert timeline.statistics.packets_damaged == pytest.approx(195 / every, abs=1)
    assert timeline.statistics.stretched_blocks == timeline.statistics.reanchors == 0


def test_random_bytes_are_never_more_than_noise_for_their_time():
    rng = np.random.default_rng(8)
    packets = [
        rng.bytes(rng.integers(1, 300)) if 20 <= index < 80 else data
        for index, data in enumerate(encoded(20, 1))
    ]

    sound, _ = play(in_order(packets, 20), blocks=195)

    assert np.isfinite(sound).all()
    assert begins_s(sound[int(1.8 * RATE) :]) + 1.8 == pytest.approx(BEEP_AT_S, abs=0.02)
    assert amplitude_db(sound[int(2.5 * RATE) : int(3.5 * RATE)], TONE_HZ) == pytest.approx(
        -12, abs=1
    )


def test_pauses_of_discontinuous_transmission_are_silence_and_no_loss():
    """Of a pause only every twentieth packet is sent, and of it only the first byte (RFC 6716)."""
    packets = []
    for index, (at, data) in enumerate(in_order(encoded(20, 1), 20)):
        if 5 <= index < 98:
            if index % 20 == 5:
                packets.append((at, data[:1]))
        else:
            packets.append((at, data))

    sound, timeline = play(packets, blocks=195)

    assert np.isfinite(sound).all()
    assert db(float(np.abs(sound[RATE // 2 : int(1.9 * RATE)]).max())) < -60
    assert begins_s(sound) == pytest.approx(BEEP_AT_S, abs=0.02)
    assert timeline.statistics.concealed_samples == 0
    assert timeline.statistics.stretched_blocks == timeline.statistics.reanchors == 0
