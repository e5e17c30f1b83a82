"""Sounds for tests, and measurements of sounds; all at 48 kHz."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 48_000
BLOCK = 960

Mono = NDArray[np.float64]


def tone(frequency_hz: float, samples: int, dbfs: float = 0.0, phase: float = 0.0) -> Mono:
    """A sine whose amplitude is *dbfs*."""
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * frequency_hz * np.arange(samples) / RATE + phase)


def speech_like(samples: int, dbfs_rms: float, seed: int, *, pauses: bool = True) -> Mono:
    """Noise with the spectrum of speech, four syllables a second, a pause every third second."""
    rng = np.random.default_rng(seed)
    sos = signal.butter(2, [200, 3000], "bandpass", fs=RATE, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(samples))
    seconds = np.arange(samples) / RATE
    envelope = 0.15 + 0.85 * np.sin(np.pi * 4 * seconds) ** 2
    if pauses:
        envelope = envelope * ((seconds % 3) < 2.4)
    sound = noise * envelope
    loud = sound[envelope > 0.1]
    return np.asarray(sound * 10 ** (dbfs_rms / 20) / math.sqrt(float(np.mean(loud**2))))


def blocks(sound: NDArray[np.floating]) -> Iterator[NDArray[np.float32]]:
    """(960, channels) float32 pieces of (samples,) or (samples, channels); the rest is left out."""
    sound = sound[:, None] if sound.ndim == 1 else sound
    for start in range(0, sound.shape[0] - BLOCK + 1, BLOCK):
        yield np.asarray(sound[start : start + BLOCK], np.float32)


def amplitude_db(sound: NDArray[np.floating], frequency_hz: float) -> float:
    """Amplitude of one frequency, dBFS, through a Hann window over all of *sound*."""
    window = np.hanning(sound.shape[0])
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(sound.shape[0]) / RATE)
    return db(2 * abs(np.dot(sound * window, wave)) / window.sum())


def true_peak_dbtp(sound: NDArray[np.floating], oversampling: int = 16) -> float:
    """The highest peak between samples, by an oracle finer than the limiter's own."""
    sound = sound[:, None] if sound.ndim == 1 else sound
    fine = signal.resample_poly(sound.astype(float), oversampling, 1, window=("kaiser", 9.0))
    return db(float(np.abs(fine).max()))


def db(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-15))
