"""Half an hour and more of drifting senders, sound only: how far apart they end, and no step.

The whole output is looked at. Each sends one tone, so whatever is left beside the tone is a trace
of the correction, and the phase of the tone is where the sound is.
"""

import numpy as np
import pytest
from scipy import signal

from tests.support.audio_signals import RATE, db
from tests.support.fake_opus import FakeOpus, packet
from worker.core.audio.timeline import AudioTimeline
from worker.core.clockmap import ClockMap
from worker.core.identity import TrackId
from worker.core.timing import BLOCK_NS, BLOCK_SAMPLES, NS_PER_S

MIC = TrackId("mic")
TONE_HZ = 1000
AHEAD_NS = 250_000_000
CHUNK_BLOCKS = 500
"""Ten seconds are judged at a time."""
SETTLING_S = 20


PERIOD = 0.5 * np.sin(2 * np.pi * np.arange(RATE // TONE_HZ) * TONE_HZ / RATE)


def tone_at(positions):
    return PERIOD[positions % len(PERIOD)]


class DriftingSender:
    """A microphone whose clock is off by *ppm*, over a path that jitters by up to 40 ms."""

    def __init__(self, ppm, seed):
        self.rate = RATE * (1 + ppm * 1e-6)
        self.clock = ClockMap()
        self.timeline = AudioTimeline(
            FakeOpus(tone_at), lambda epoch, timestamp: self.clock.capture_ns(MIC, epoch, timestamp)
        )
        jitter = np.random.default_rng(seed).integers(0, 40_000_000, 997)
        self._jitter_ns = (jitter * (np.arange(997) % 10 > 0)).tolist()
        self._sent = 0
        self._block = 0

    def chunk(self):
        """The next ten seconds, (480000,) float64."""
        out = []
        for first in range(self._block, self._block + CHUNK_BLOCKS, 3):
            count = min(3, self._block + CHUNK_BLOCKS - first)
            self._send_until((first + count) * BLOCK_NS + AHEAD_NS)
            out += self.timeline.blocks(first * BLOCK_NS, count)
        self._block += CHUNK_BLOCKS
        silence = np.zeros((BLOCK_SAMPLES, 1), np.float32)
        return np.concatenate([silence if b is None else b for b in out])[:, 0].astype(float)

    def _send_until(self, end_ns):
        while True:
            timestamp = self._sent * BLOCK_SAMPLES
            sent_ns = round(timestamp / self.rate * NS_PER_S)
            arrival_ns = sent_ns + self._jitter_ns[self._sent % 997]
            if sent_ns > end_ns:
                return
            self.clock.observe_arrival(MIC, 0, timestamp, RATE, arrival_ns)
            if self._sent % 50 == 25:
                ntp_ns = round(sent_ns * self.rate / RATE) + 10**18
                self.clock.observe_report(MIC, 0, ntp_ns, timestamp, arrival_ns)
            self.timeline.push(0, timestamp, packet(timestamp))
            self._sent += 1


def phase_turns(sound):
    """Phase of the tone in turns every 100 ms, (n,)."""
    windows = sound.reshape(-1, RATE // 10) * np.hanning(RATE // 10)
    wave = np.exp(-2j * np.pi * TONE_HZ / RATE * np.arange(RATE // 10))
    return np.angle(windows @ wave) / (2 * np.pi)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("drift_ppm", "minutes", "most_residue_db"),
    [
        (200, 30, -60),
        # Three times as many corrections, which three times as often fall together.
        pytest.param(600, 40, -58, marks=pytest.mark.soak),
        pytest.param(100, 240, -60, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_after_long_drift_the_voices_are_together_and_nothing_was_audible(
    drift_ppm, minutes, most_residue_db
):
    senders = [DriftingSender(drift_ppm, seed=1), DriftingSender(-drift_ppm, seed=2)]
    notch = signal.butter(4, [TONE_HZ - 300, TONE_HZ + 300], "bandstop", fs=RATE, output="sos")
    state = [np.zeros((len(notch), 2)) for _ in senders]
    residue_db, phases = -200.0, [[], []]
    for second in range(0, minutes * 60, 10):
        for index, sender in enumerate(senders):
            sound = sender.chunk()
            rest, state[index] = signal.sosfilt(notch, sound, zi=state[index])
            phases[index].append(phase_turns(sound))
            if second >= SETTLING_S:
                residue_db = max(residue_db, db(float(np.abs(rest).max())))

    stretched = [sender.timeline.statistics.stretched_blocks for sender in senders]
    errors_ms = []
    for ppm, each in zip((drift_ppm, -drift_ppm), phases, strict=True):
        turns = np.unwrap(2 * np.pi * np.concatenate(each)[SETTLING_S * 10 :]) / (2 * np.pi)
        # On time, the tone sounds *ppm* higher than it was made.
        wanted = np.arange(len(turns)) * TONE_HZ * ppm * 1e-6 / 10
        errors_ms.append((turns - turns[0] - wanted) * 1000 / TONE_HZ)
        assert np.abs(np.diff(errors_ms[-1])).max() < 1.0, "no step between two windows of 100 ms"
    apart_ms = errors_ms[0] - errors_ms[1]
    print(
        f"apart at the end {apart_ms[-1]:.2f} ms, at most {np.abs(apart_ms).max():.2f} ms; "
        f"loudest residue {residue_db:.1f} dBFS; stretched blocks {stretched}"
    )
    assert abs(apart_ms[-1]) < 20
    assert np.abs(apart_ms).max() < 20
    assert residue_db < most_residue_db
    for sender in senders:
        statistics = sender.timeline.statistics
        assert statistics.stretched_blocks == pytest.approx(
            minutes * 60 * RATE * drift_ppm * 1e-6, rel=0.1
        )
        assert statistics.reanchors == statistics.spliced_blocks == 0
        assert statistics.concealed_samples == statistics.packets_late == 0
