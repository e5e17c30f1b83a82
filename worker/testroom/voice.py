"""What a synthetic person sounds like: beep on every whole second, tone, speech-like syllables.

All sound is mono 48 kHz float32 and repeats after a whole number of seconds without a step.
"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyloudnorm
from numpy.typing import NDArray

from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from worker.testroom.marks import FLASH_MS
from worker.testroom.person import Person

BEEP_SAMPLES = FLASH_MS * SAMPLE_RATE_HZ // 1000
_BEEP_EDGE_SAMPLES = SAMPLE_RATE_HZ // 1000
"""1 ms raised cosine: sharp enough to time within a millisecond, soft enough not to click."""
_BEEP_HEADROOM_DB = 6.0
"""A beep must stand out of its person's speech to be found in it."""
_SILENT_LEVEL_DBOV = -127
_VOICED_SHARE = 0.8
_FORMANTS_HZ = ((500.0, 120.0), (1500.0, 180.0), (2500.0, 250.0), (3600.0, 400.0))
_LOWEST_PITCH_HZ = 100
_PITCHES = 12
_HIGHEST_HARMONIC_HZ = 4500
_HISS_HZ = (2000, 7000)
"""Nothing is above 7 kHz, so that a click in the recording stands out there."""


class VoiceMode(Enum):
    """The kind of sound a microphone picks up."""

    SILENT = "silent"
    BEEP = "beep"
    TONE = "tone"
    SPEECH = "speech"


class LevelUnit(Enum):
    """What a level counts: RMS in dBFS (a full-scale sine is -3), or LUFS by BS.1770."""

    DBFS = "dbfs"
    LUFS = "lufs"


@dataclass(frozen=True, slots=True)
class Voice:
    """A sound to be made. The level is that of tone or speech without the beep.

    For `BEEP` the level is that of the beep while it sounds. A beep that is added to speech or
    tone is 6 dB louder than those.
    """

    mode: VoiceMode
    level: float = -23.0
    unit: LevelUnit = LevelUnit.DBFS
    beep: bool = True


def sound(voice: Voice, person: Person, loop_s: int) -> NDArray[np.float32]:
    """PCM of *loop_s* whole seconds, (loop_s * 48000,) float32; clipped at full scale."""
    length = loop_s * SAMPLE_RATE_HZ
    beep = _beeps(person.tone_hz, loop_s)
    match voice.mode:
        case VoiceMode.SILENT:
            return np.zeros(length, dtype=np.float32)
        case VoiceMode.BEEP:
            return _clipped(beep * _rms_factor(beep[:BEEP_SAMPLES], voice.level))
        case VoiceMode.TONE:
            steady = np.sin(2 * np.pi * person.tone_hz / SAMPLE_RATE_HZ * np.arange(length))
        case VoiceMode.SPEECH:
            steady = _speech(person, loop_s)
    steady *= _factor(steady, voice)
    if not voice.beep:
        return _clipped(steady)
    loudness_db = 20 * math.log10(float(np.sqrt(np.mean(np.square(steady)))))
    beep *= _rms_factor(beep[:BEEP_SAMPLES], loudness_db + _BEEP_HEADROOM_DB)
    return _clipped(steady + beep)


def block_levels(pcm: NDArray[np.float32]) -> tuple[int, ...]:
    """RFC 6464 level of each 20 ms block of *pcm*: -127 (silence) to 0 dBov, from the RMS."""
    blocks = pcm[: len(pcm) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
    rms = np.sqrt(np.mean(np.square(blocks, dtype=np.float64), axis=1))
    decibels = 20 * np.log10(np.maximum(rms, 1e-7))
    return tuple(int(level) for level in np.clip(np.round(decibels), _SILENT_LEVEL_DBOV, 0))


def _clipped(pcm: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.clip(pcm, -1.0, 1.0).astype(np.float32)


def _factor(steady: NDArray[np.float64], voice: Voice) -> float:
    if voice.unit is LevelUnit.DBFS:
        return _rms_factor(steady, voice.level)
    measured = pyloudnorm.Meter(SAMPLE_RATE_HZ).integrated_loudness(steady)
    return float(10 ** ((voice.level - measured) / 20))


def _rms_factor(pcm: NDArray[np.float64], level_db: float) -> float:
    return float(10 ** (level_db / 20) / np.sqrt(np.mean(np.square(pcm))))


def _beeps(tone_hz: int, loop_s: int) -> NDArray[np.float64]:
    """A beep of 100 ms and amplitude 1 from every whole second."""
    times = np.arange(BEEP_SAMPLES) / SAMPLE_RATE_HZ
    beep = np.sin(2 * np.pi * tone_hz * times)
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_BEEP_EDGE_SAMPLES) + 0.5) / _BEEP_EDGE_SAMPLES)
    beep[:_BEEP_EDGE_SAMPLES] *= edge
    beep[-_BEEP_EDGE_SAMPLES:] *= edge[::-1]
    second = np.zeros(SAMPLE_RATE_HZ)
    second[:BEEP_SAMPLES] = beep
    return np.tile(second, loop_s)


def _speech(person: Person, loop_s: int) -> NDArray[np.float64]:
    """Syllables at 3 to 6 Hz: mostly harmonics under formants, now and then a hiss.

    Every syllable starts and ends at zero, and the last ends before the loop does.
    """
    generator = np.random.Generator(np.random.PCG64(1000 + person.index))
    pcm = np.zeros(loop_s * SAMPLE_RATE_HZ)
    position = 0
    while True:
        length = int(SAMPLE_RATE_HZ / generator.uniform(3.0, 6.0))
        if position + length > len(pcm):
            return pcm
        voiced = generator.uniform() < _VOICED_SHARE
        syllable = _vowel(person, length, generator) if voiced else _hiss(length, generator)
        pcm[position : position + length] = syllable
        position += length


def _vowel(person: Person, length: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of a gliding pitch, weighted by formants that differ from syllable to syllable."""
    times = np.arange(length) / SAMPLE_RATE_HZ
    base_hz = _LOWEST_PITCH_HZ * 2 ** (person.index % _PITCHES / _PITCHES)
    start_hz, end_hz = base_hz * generator.uniform(0.94, 1.1, size=2)
    span_s = length / SAMPLE_RATE_HZ
    phase = 2 * np.pi * (start_hz * times + (end_hz - start_hz) * np.square(times) / 2 / span_s)
    shift = generator.uniform(0.75, 1.3)
    pcm = np.zeros(length)
    harmonics = int(_HIGHEST_HARMONIC_HZ / base_hz)
    for harmonic in range(1, harmonics + 1):
        # Schroeder's phases keep the harmonics from piling up in one sharp pulse per period.
        spread = np.pi * harmonic * (harmonic - 1) / harmonics
        gain = _formant_gain(harmonic * base_hz / shift)
        pcm += gain * np.sin(harmonic * phase + spread)
    return _shaped(pcm, generator.uniform(0.5, 1.0))


def _hiss(length: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A quiet fricative: noise from 2 to 7 kHz."""
    spectrum = np.fft.rfft(generator.standard_normal(length))
    frequencies_hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ)
    low_hz, high_hz = _HISS_HZ
    spectrum[(frequencies_hz < low_hz) | (frequencies_hz > high_hz)] = 0
    return _shaped(np.fft.irfft(spectrum, length), generator.uniform(0.1, 0.2))


def _formant_gain(frequency_hz: float) -> float:
    resonance = sum(
        1 / (1 + ((frequency_hz - centre) / width) ** 2) / (1 + centre / 1000)
        for centre, width in _FORMANTS_HZ
    )
    return resonance + 0.05


def _shaped(pcm: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    """*pcm* under a half sine, scaled to *peak*."""
    window = np.sin(np.pi * (np.arange(len(pcm)) + 0.5) / len(pcm)) ** 0.7
    shaped = pcm * window
    return np.asarray(shaped * (peak / np.max(np.abs(shaped))))
