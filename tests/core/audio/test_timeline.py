import numpy as np
import pytest

from tests.support.audio_signals import RATE, db
from tests.support.fake_opus import DAMAGED, PAUSE, FakeOpus, packet
from worker.core.audio.timeline import AudioTimeline
from worker.core.clockmap import ClockMap
from worker.core.identity import TrackId
from worker.core.timing import BLOCK_NS

SECOND = 1_000_000_000
EXACT = 1e-6
SMOOTH = 0.002
"""Second difference of the hum is 0.0008; fades may add as much again, a click adds 0.01."""


def hum(positions):
    """300 Hz at -6 dBFS."""
    return 0.5 * np.sin(2 * np.pi * 300 * positions / RATE)


def noise(positions):
    """Repeatable noise that depends on the position alone."""
    return ((positions * 1103515245 + 12345) % 65536) / 65536 - 0.5


class Track:
    """A timeline whose sender runs exactly with us: sample p was captured at p/48000 + offset.

    Packets come 300 ms before they are heard, but for those in *lost*.
    """

    def __init__(
        self, sound=noise, offset_samples=0, packet_samples=960, lost=(), concealed_level=1.0
    ):
        self.decoder = FakeOpus(sound, concealed_level)
        self.offset_ns = offset_samples * SECOND // RATE
        self.packet_samples = packet_samples
        self.lost = lost
        self.timeline = AudioTimeline(self.decoder, self.capture_ns)
        self.statistics = self.timeline.statistics
        self._sent = 0
        self._block = 0

    def capture_ns(self, epoch, timestamp):
        """Epochs begin 1 s apart."""
        return timestamp * SECOND // RATE + self.offset_ns + epoch * SECOND

    def push(self, index, epoch=0):
        timestamp = index * self.packet_samples
        self.timeline.push(epoch, timestamp, packet(timestamp, self.packet_samples))

    def play(self, count, *, until_packet=10**9):
        """The next blocks as one array; silence is zeros. Packets from *until_packet* on wait."""
        blocks = []
        for _ in range(count):
            start_ns = self._block * BLOCK_NS
            self._block += 1
            horizon_ns = start_ns + 300_000_000
            while self._sent < until_packet and (
                self.capture_ns(0, self._sent * self.packet_samples) < horizon_ns
            ):
                if self._sent not in self.lost:
                    self.push(self._sent)
                self._sent += 1
            blocks.append(self.timeline.block(start_ns))
        channels = max((b.shape[1] for b in blocks if b is not None), default=1)
        silence = np.zeros((960, channels))
        return np.concatenate([silence if b is None else b for b in blocks])


def heard(sound, first, count):
    return sound(np.arange(first, first + count))


def steepest_step(sound):
    """The largest second difference: a click shows, a wave does not."""
    return float(np.abs(np.diff(sound, n=2, axis=0)).max())


@pytest.mark.parametrize("offset_samples", [0, 1, 123, 959])
@pytest.mark.parametrize("packet_samples", [120, 480, 960, 2880, 5760])
def test_sound_lands_on_the_very_sample_it_was_captured_at(offset_samples, packet_samples):
    track = Track(offset_samples=offset_samples, packet_samples=packet_samples)

    out = track.play(40)[:, 0]

    assert not out[:offset_samples].any()
    start = offset_samples + 240
    expected = heard(noise, 240, out.shape[0] - start)
    np.testing.assert_allclose(out[start:], expected, atol=EXACT)
    assert track.statistics.stretched_blocks == 0
    assert track.statistics.concealed_samples == 0


def test_nothing_to_play_is_none_and_costs_nothing():
    track = Track()

    assert track.timeline.block(0) is None
    track.push(100)
    assert track.timeline.block(BLOCK_NS) is None
    assert track.statistics.silent_blocks == 2
    assert track.timeline.waiting_packets == 1
    assert track.decoder.concealed == []


def test_an_epoch_that_the_clock_map_does_not_know_is_silent():
    timeline = AudioTimeline(FakeOpus(noise), lambda epoch, timestamp: None)
    timeline.push(0, 0, packet(0))

    assert timeline.block(0) is None


def test_stereo_stays_stereo_and_mono_stays_mono():
    mono = Track()
    stereo = Track(sound=lambda p: np.stack([noise(p), -noise(p)], axis=1))

    assert mono.play(1).shape == (960, 1)
    out = stereo.play(5)
    assert out.shape == (4800, 2)
    np.testing.assert_allclose(out[240:, 0], -out[240:, 1])


def test_a_track_that_turns_stereo_goes_on_without_a_step():
    def sound(positions):
        wave = hum(positions)
        return wave if positions[0] < 4800 else np.stack([wave, wave], axis=1)

    track = Track(sound=sound)
    mono, stereo = track.play(5), track.play(5)

    assert (mono.shape[1], stereo.shape[1]) == (1, 2)
    np.testing.assert_allclose(stereo[:, 0], heard(hum, 4800, 4800), atol=EXACT)
    np.testing.assert_allclose(stereo[:, 0], stereo[:, 1], atol=EXACT)


def test_order_and_duplicates_do_not_matter():
    track = Track()
    for index in [1, 0, 0, 3, 2, 5, 4, 4, 4, 7, 6]:
        track.push(index)

    out = track.play(8, until_packet=0)[:, 0]

    np.testing.assert_allclose(out[240:], heard(noise, 240, 8 * 960 - 240), atol=EXACT)
    assert track.statistics.packets_duplicated == 3
    assert track.statistics.packets_late == 0


FIVE_PERCENT = {7, 26, 45, 46, 61, 90, 113, 114, 115, 160, 171, 188}
"""Twelve of 240: singles, a pair and three in a row."""


def test_of_five_percent_loss_only_what_fec_does_not_cover_is_concealed():
    track = Track(sound=hum, lost=FIVE_PERCENT, concealed_level=0.5)

    out = track.play(240)[:, 0]

    expected = heard(hum, 0, 240 * 960)
    wrong = {int(i) // 960 for i in np.flatnonzero(np.abs(out - expected) > EXACT) if i >= 240}
    assert wrong == {45, 113, 114}
    assert track.statistics.packets_recovered == 9
    assert track.statistics.concealed_ms == 60
    assert track.statistics.packets_decoded == 228
    assert track.statistics.packets_late == 0


@pytest.mark.parametrize("packet_samples", [480, 960, 2880])
def test_a_long_gap_is_concealed_for_60_ms_faded_and_silent_then_fades_in(packet_samples):
    first, last = 9600 * 3 // packet_samples, 9600 * 6 // packet_samples
    lost = range(first, last)
    track = Track(sound=hum, packet_samples=packet_samples, lost=lost)

    out = track.play(90)[:, 0]

    gap = first * packet_samples
    np.testing.assert_allclose(out[240 : gap + 2880], heard(hum, 240, gap + 2640), atol=EXACT)
    faded = out[gap + 2880 : gap + 3840]
    assert np.abs(faded[:160]).max() > 0.4
    assert np.abs(faded[-80:]).max() < 0.02
    end = last * packet_samples
    assert not out[gap + 3840 : end].any()
    np.testing.assert_allclose(
        out[end + 240 :], heard(hum, end + 240, out.shape[0] - end - 240), atol=EXACT
    )
    assert steepest_step(out[240:]) < SMOOTH
    assert track.statistics.concealed_ms == 80
    assert track.statistics.packets_recovered == 0


def test_a_pause_announced_by_the_sender_is_filled_and_no_loss():
    track = Track(sound=hum, lost=range(10, 40), concealed_level=0.1)
    track.timeline.push(0, 9600, PAUSE)

    out = track.play(50)[:, 0]

    np.testing.assert_allclose(
        out[11 * 960 : 40 * 960], heard(hum, 11 * 960, 29 * 960) / 10, atol=EXACT
    )
    np.testing.assert_allclose(out[40 * 960 :], heard(hum, 40 * 960, 10 * 960), atol=EXACT)
    assert track.statistics.concealed_samples == 0
    assert track.statistics.packets_recovered == 0


def test_a_pause_that_is_not_renewed_ends_in_silence_after_a_second():
    track = Track(sound=hum, lost=range(10, 100), concealed_level=0.1)
    track.timeline.push(0, 9600, PAUSE)

    out = track.play(90)[:, 0]

    assert out[60 * 960 : 61 * 960].any()
    assert not out[62 * 960 :].any()
    assert steepest_step(out[11 * 960 :]) < SMOOTH
    assert track.statistics.concealed_samples == 0


def test_a_packet_that_comes_after_its_place_was_filled_is_late_and_not_heard_again():
    track = Track(sound=hum, concealed_level=0.5)
    first = track.play(11, until_packet=10)
    rest = track.play(9)

    out = np.concatenate([first, rest])[:, 0]
    np.testing.assert_allclose(out[9600:10560], heard(hum, 9600, 960) / 2, atol=EXACT)
    np.testing.assert_allclose(out[10560:], heard(hum, 10560, 9 * 960), atol=EXACT)
    assert track.statistics.packets_late == 1


def test_a_damaged_packet_is_concealed():
    track = Track(sound=hum, lost={5}, concealed_level=0.5)
    track.timeline.push(0, 5 * 960, DAMAGED)

    out = track.play(10)[:, 0]

    np.testing.assert_allclose(out[4800:5760], heard(hum, 4800, 960) / 2, atol=EXACT)
    np.testing.assert_allclose(out[5760:], heard(hum, 5760, 3840), atol=EXACT)
    assert track.statistics.packets_damaged == 1


def test_a_decoder_that_returns_too_little_does_not_stop_time():
    class Mute(FakeOpus):
        def decode(self, data):
            return np.zeros((0, 1), np.float32)

        def conceal(self, samples):
            return np.zeros((0, 1), np.float32)

        recover = decode  # type: ignore[assignment]

    timeline = AudioTimeline(Mute(hum), lambda _, timestamp: timestamp * SECOND // RATE)
    for index in range(10):
        timeline.push(0, index * 960, packet(index * 960))

    blocks = [timeline.block(index * BLOCK_NS) for index in range(10)]

    assert not any(b is not None and b.any() for b in blocks)


def test_six_seconds_are_kept_and_the_oldest_dropped():
    track = Track()
    for index in range(350):
        track.push(index)

    assert track.timeline.waiting_packets == 301
    assert track.statistics.packets_dropped == 49


def test_what_waited_when_a_track_began_to_rest_is_not_counted_when_it_has_become_too_old():
    track = Track()
    track.play(10)
    left = track.timeline.waiting_packets
    track.timeline.rest()
    for index in range(400, 420):
        track.push(index)

    assert left > 10
    assert track.timeline.waiting_packets == 20
    assert track.statistics.packets_dropped == 0


def test_what_waited_when_a_track_began_to_rest_is_not_counted_when_a_new_epoch_has_begun():
    track = Track()
    track.play(10)
    left = track.timeline.waiting_packets
    track.timeline.rest()
    for index in range(10):
        track.push(index, epoch=1)
    track.timeline.block(SECOND)

    assert left > 10
    assert track.timeline.waiting_packets < 10
    assert track.statistics.packets_dropped == 0


def test_a_new_epoch_takes_over_where_it_begins():
    track = Track(sound=hum)
    begin = track.play(1)
    for index in range(40):
        track.push(index, epoch=1)

    out = np.concatenate([begin, track.play(79, until_packet=60)])[:, 0]

    np.testing.assert_allclose(out[240:48_000], heard(hum, 240, 47_760), atol=EXACT)
    np.testing.assert_allclose(out[48_240:76_800], heard(hum, 240, 28_560), atol=EXACT)
    assert steepest_step(out[240:76_800]) < SMOOTH
    assert track.statistics.packets_dropped == 9
    assert track.timeline.waiting_packets == 10

    track.push(70)
    assert track.statistics.packets_late == 1


def test_of_two_epochs_to_come_the_newer_one_counts():
    track = Track(sound=hum)
    track.play(1)
    track.push(0, epoch=1)
    track.push(0, epoch=2)
    track.push(1, epoch=1)

    assert track.statistics.packets_dropped == 1
    out = track.play(104, until_packet=16)[:, 0]
    assert not out[20 * 960 : 99 * 960].any()
    np.testing.assert_allclose(out[99 * 960 + 240 : 100 * 960], heard(hum, 240, 720), atol=EXACT)


def test_mute_fades_and_unmute_comes_back_in_the_right_place():
    track = Track(sound=hum)
    before = track.play(10)
    track.timeline.mute()
    muted = track.play(10)
    track.timeline.unmute()
    after = track.play(10)

    assert np.abs(muted[:240]).max() > 0.05
    assert not muted[240:].any()
    assert steepest_step(np.concatenate([before, muted, after])[240:]) < SMOOTH
    np.testing.assert_allclose(after[240:, 0], heard(hum, 20 * 960 + 240, 9360), atol=EXACT)
    assert track.statistics.packets_late == 0


@pytest.mark.parametrize("jump_ms", [-900, -350, 350, 900])
def test_a_jump_of_the_clock_is_made_once_and_without_a_click(jump_ms):
    track = Track(sound=hum)
    before = track.play(25)
    track.offset_ns += jump_ms * 1_000_000
    after = track.play(75)

    out = np.concatenate([before, after])[:, 0]
    last = slice(90 * 960, 99 * 960)
    expected = heard(hum, last.start - jump_ms * 48, last.stop - last.start)
    np.testing.assert_allclose(out[last], expected, atol=EXACT)
    assert steepest_step(out[240:]) < SMOOTH
    assert track.statistics.reanchors == 1
    assert track.statistics.stretched_blocks == 0


def test_an_error_below_the_limit_is_stretched_away_unheard():
    track = Track(sound=hum)
    before = track.play(25)
    track.offset_ns += 10_000_000
    after = track.play(125)

    out = np.concatenate([before, after])[:, 0]
    assert track.statistics.reanchors == 0
    assert track.statistics.stretched_blocks > 50
    assert steepest_step(out[240:]) < 0.0009
    late = out[140 * 960 :]
    misses = [
        np.abs(late - heard(hum, 140 * 960 - shift, late.shape[0])).max()
        for shift in range(400, 500)
    ]
    assert min(misses) < 1e-3


def ramp(positions):
    """The position itself, modulo 65536, as a sample value."""
    return (positions % 65536) / 65536


@pytest.mark.parametrize("ppm", [200, -200])
def test_half_an_hour_of_drift_ends_within_a_few_ms_and_never_steps(ppm):
    """Sender clock off by *ppm*, packets jittered by up to 40 ms, real clock map."""
    track_id = TrackId("mic")
    clock = ClockMap()
    timeline = AudioTimeline(FakeOpus(ramp), lambda e, t: clock.capture_ns(track_id, e, t))
    rate = RATE * (1 + ppm * 1e-6)
    jitter_ns = np.random.default_rng(7).integers(0, 40_000_000, 1000) * (np.arange(1000) % 10 > 0)
    worst = steps = 0.0
    sent = 0
    previous = None
    for index in range(30 * 60 * 50):
        now_ns = index * BLOCK_NS
        while sent * 960 / rate * SECOND <= now_ns + 250_000_000:
            arrival_ns = round(sent * 960 / rate * SECOND) + int(jitter_ns[sent % 1000])
            clock.observe_arrival(track_id, 0, sent * 960, RATE, arrival_ns)
            timeline.push(0, sent * 960, packet(sent * 960))
            sent += 1
        block = timeline.block(now_ns)
        position = float(block[480, 0]) * 65536
        true = ((now_ns + BLOCK_NS // 2) * rate / SECOND) % 65536
        if not 1000 < true < 64_536:
            previous = None
            continue
        error = (position - true + 32768) % 65536 - 32768
        if index > 500:
            worst = max(worst, abs(error))
            steps = max(steps, 0 if previous is None else abs(position - previous - 960))
        previous = position
    statistics = timeline.statistics
    print(f"{ppm} ppm: worst {worst / 48:.2f} ms, stretched {statistics.stretched_blocks}")
    assert worst / 48 < 5
    assert steps <= 9
    assert (statistics.reanchors, statistics.concealed_samples, statistics.packets_late) == (
        0,
        0,
        0,
    )
    assert statistics.stretched_blocks == pytest.approx(30 * 60 * 48_000 * 200e-6, rel=0.1)


def test_drift_correction_leaves_no_trace_in_the_spectrum():
    ppm = 200
    rate = RATE * (1 + ppm * 1e-6)

    def tone(positions):
        return 0.5 * np.sin(2 * np.pi * 3000 * positions / RATE)

    timeline = AudioTimeline(FakeOpus(tone), lambda _, t: round(t / rate * SECOND))
    out = []
    for index in range(1000):
        for sent in range(max(0, index - 1), index + 3):
            timeline.push(0, sent * 960, packet(sent * 960))
        out.append(timeline.block(index * BLOCK_NS)[:, 0])
    assert timeline.statistics.stretched_blocks > 130
    sound = np.concatenate(out[100:])
    window = np.blackman(sound.shape[0])
    spectrum = np.abs(np.fft.rfft(sound * window)) / (window.sum() / 2)
    frequency = np.fft.rfftfreq(sound.shape[0], 1 / RATE)
    away = spectrum[np.abs(frequency - 3000) > 200]

    assert db(float(away.max())) < -80
