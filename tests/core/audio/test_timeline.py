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


def hum(positions):
    """300 Hz at -6 dBFS."""
    return 0.5 * np.sin(2 * np.pi * 300 * positions / RATE)


def noise(positions):
    """Repeatable noise that depends on the position alone."""
    return ((positions * 1103515245 + 12345) % 65536) / 65536 - 0.5


class Track:
    """A timeline whose sender runs exactly with us: sample p was captured at p/48000 + offset."""

    def __init__(self, sound=noise, offset_ns=0, packet_samples=960):
        self.decoder = FakeOpus(sound)
        self.offset_ns = offset_ns
        self.packet_samples = packet_samples
        self.timeline = AudioTimeline(self.decoder, self.capture_ns)

    def capture_ns(self, epoch, timestamp):
        return timestamp * SECOND // RATE + self.offset_ns + (epoch * 7 * SECOND)

    def push(self, first, count, epoch=0, without=()):
        for index in range(first, first + count):
            if index not in without:
                timestamp = index * self.packet_samples
                self.timeline.push(epoch, timestamp, packet(timestamp, self.packet_samples))
        return self

    def play(self, first, count):
        """Blocks first.. as one array; silence is zeros."""
        blocks = [self.timeline.block(index * BLOCK_NS) for index in range(first, first + count)]
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
    track = Track(offset_ns=offset_samples * SECOND // RATE, packet_samples=packet_samples)
    track.push(0, 48_000 // packet_samples)

    out = track.play(0, 40)[:, 0]

    assert not out[:offset_samples].any()
    start = offset_samples + 240
    expected = heard(noise, 240, out.shape[0] - start)
    np.testing.assert_allclose(out[start:], expected, atol=EXACT)
    assert track.timeline.statistics.stretched_blocks == 0
    assert track.timeline.statistics.concealed_samples == 0


def test_nothing_to_play_is_none_and_costs_nothing():
    track = Track()

    assert track.timeline.block(0) is None
    track.push(100, 10)
    assert track.timeline.block(BLOCK_NS) is None
    assert track.timeline.statistics.silent_blocks == 2
    assert track.timeline.waiting_packets == 10
    assert track.decoder.concealed == []


def test_stereo_stays_stereo_and_mono_stays_mono():
    mono = Track().push(0, 10)
    stereo = Track(sound=lambda p: np.stack([noise(p), -noise(p)], axis=1)).push(0, 10)

    assert mono.timeline.block(0).shape == (960, 1)
    out = stereo.play(0, 5)
    assert out.shape == (4800, 2)
    np.testing.assert_allclose(out[240:, 0], -out[240:, 1])


def test_a_track_that_turns_stereo_goes_on_without_a_step():
    def sound(positions):
        wave = hum(positions)
        return wave if positions[0] < 4800 else np.stack([wave, wave], axis=1)

    out = Track(sound=sound).push(0, 20).play(0, 10)

    np.testing.assert_allclose(out[4800:, 0], heard(hum, 4800, 4800), atol=EXACT)
    np.testing.assert_allclose(out[240:, 0], out[240:, 1], atol=EXACT)


def test_order_and_duplicates_do_not_matter():
    track = Track()
    for index in [1, 0, 0, 3, 2, 5, 4, 4, 4, 7, 6]:
        track.push(index, 1)

    out = track.play(0, 8)[:, 0]

    np.testing.assert_allclose(out[240:], heard(noise, 240, 8 * 960 - 240), atol=EXACT)
    assert track.timeline.statistics.packets_duplicated == 3
    assert track.timeline.statistics.packets_late == 0


FIVE_PERCENT = {7, 26, 45, 46, 61, 90, 113, 114, 115, 160, 171, 188}
"""Twelve of 240: singles, a pair and three in a row."""


def test_of_five_percent_loss_only_what_fec_does_not_cover_is_concealed():
    track = Track(sound=hum).push(0, 240, without=FIVE_PERCENT)

    out = track.play(0, 240)[:, 0]

    expected = heard(hum, 0, 240 * 960)
    wrong = {int(i) // 960 for i in np.flatnonzero(np.abs(out - expected) > EXACT) if i >= 240}
    assert wrong == {45, 113, 114}
    statistics = track.timeline.statistics
    assert statistics.packets_recovered == 9
    assert statistics.concealed_ms == 60
    assert statistics.packets_decoded == 228
    assert statistics.packets_late == 0


def test_a_long_gap_is_concealed_for_60_ms_faded_and_silent_then_fades_in():
    track = Track(sound=hum).push(0, 10).push(40, 20)

    out = track.play(0, 55)[:, 0]

    concealed, faded = out[9600 : 9600 + 2880], out[9600 + 2880 : 9600 + 3840]
    np.testing.assert_allclose(concealed, heard(hum, 9600, 2880) / 2, atol=EXACT)
    assert np.abs(faded[:100]).max() > 0.01
    assert np.abs(faded[-50:]).max() < 0.01
    assert not out[9600 + 3840 : 40 * 960].any()
    np.testing.assert_allclose(out[40 * 960 + 240 :], heard(hum, 40 * 960 + 240, 14160), atol=EXACT)
    assert steepest_step(out[9600 + 2800 :]) < 0.002
    assert track.timeline.statistics.concealed_ms == 80
    assert track.timeline.statistics.packets_recovered == 0


def test_a_pause_announced_by_the_sender_is_no_loss():
    track = Track(sound=hum).push(0, 10)
    track.timeline.push(0, 9600, PAUSE)
    track.push(40, 20)

    out = track.play(0, 50)[:, 0]

    assert not out[16_000 : 40 * 960].any()
    assert track.timeline.statistics.concealed_samples == 0
    assert track.timeline.statistics.packets_recovered == 0


def test_a_packet_that_comes_after_its_place_was_filled_is_late_and_not_heard_again():
    track = Track(sound=hum).push(0, 10)
    first = track.play(0, 11)
    track.push(10, 10)
    rest = track.play(11, 9)

    out = np.concatenate([first, rest])[:, 0]
    np.testing.assert_allclose(out[9600:10560], heard(hum, 9600, 960) / 2, atol=EXACT)
    np.testing.assert_allclose(out[10560:], heard(hum, 10560, 9 * 960), atol=EXACT)
    assert track.timeline.statistics.packets_late == 1


def test_a_damaged_packet_is_concealed():
    track = Track(sound=hum).push(0, 5).push(6, 5)
    track.timeline.push(0, 5 * 960, DAMAGED)

    out = track.play(0, 10)[:, 0]

    np.testing.assert_allclose(out[4800:5760], heard(hum, 4800, 960) / 2, atol=EXACT)
    np.testing.assert_allclose(out[5760:], heard(hum, 5760, 3840), atol=EXACT)
    assert track.timeline.statistics.packets_damaged == 1


def test_two_seconds_are_kept_and_the_oldest_dropped():
    track = Track().push(0, 150)

    assert track.timeline.waiting_packets == 101
    assert track.timeline.statistics.packets_dropped == 49


def test_a_new_epoch_takes_over_where_it_begins():
    track = Track(sound=hum).push(0, 100)
    track.push(0, 50, epoch=1)
    start = 7 * SECOND // BLOCK_NS
    track.offset_ns = -6 * SECOND - 10_000_000

    out = track.play(0 - 310, 310 + 60)[:, 0]

    # The new epoch's sample 0 lies at 0.99 s.
    begin = 310 * 960 + 47_520
    np.testing.assert_allclose(out[begin + 240 : begin + 9600], heard(hum, 240, 9360), atol=EXACT)
    assert start == 350
    assert track.timeline.statistics.packets_dropped == 0


def test_packets_left_over_from_the_old_epoch_are_dropped_and_late_ones_refused():
    track = Track(sound=hum, offset_ns=-7 * SECOND).push(7 * 50, 100)
    out = track.play(0, 10)
    track.push(10, 50, epoch=1)
    more = track.play(10, 10)
    track.push(7 * 50 + 12, 1)

    both = np.concatenate([out, more])[:, 0]
    assert steepest_step(both[240:]) < 0.005
    np.testing.assert_allclose(more[240:, 0], heard(hum, 9840, 9360), atol=EXACT)
    assert track.timeline.statistics.packets_dropped == 90
    assert track.timeline.statistics.packets_late == 1


def test_mute_fades_and_unmute_comes_back_in_the_right_place():
    track = Track(sound=hum).push(0, 60)
    before = track.play(0, 10)
    track.timeline.mute()
    muted = track.play(10, 10)
    track.timeline.unmute()
    after = track.play(20, 10)

    assert np.abs(muted[:240]).max() > 0.05
    assert not muted[240:].any()
    assert steepest_step(np.concatenate([before, muted, after])[240:]) < 0.005
    np.testing.assert_allclose(after[240:, 0], heard(hum, 20 * 960 + 240, 9360), atol=EXACT)
    assert track.timeline.statistics.packets_late == 0


def test_clear_forgets_what_was_waiting():
    track = Track(sound=hum).push(0, 60)
    track.play(0, 10)

    track.timeline.clear()

    assert track.timeline.waiting_packets == 0
    assert not track.play(10, 10)[240:].any()


@pytest.mark.parametrize("jump_ms", [-900, -250, 250, 900])
def test_a_jump_of_the_clock_is_made_once_and_without_a_click(jump_ms):
    track = Track(sound=hum).push(0, 101)
    before = track.play(0, 25)
    track.offset_ns += jump_ms * 1_000_000
    track.push(101, 40)
    after = track.play(25, 75)

    out = np.concatenate([before, after])[:, 0]
    shift = jump_ms * 48
    last = slice(90 * 960, 99 * 960)
    expected = heard(hum, last.start - shift, last.stop - last.start)
    np.testing.assert_allclose(out[last], expected, atol=EXACT)
    assert steepest_step(out[240:]) < 0.005
    assert track.timeline.statistics.reanchors == 1
    assert track.timeline.statistics.stretched_blocks == 0


def test_an_error_below_the_limit_is_stretched_away_unheard():
    track = Track(sound=hum).push(0, 101)
    before = track.play(0, 25)
    track.offset_ns += 10_000_000
    track.push(101, 300)
    after = np.concatenate([track.play(25, 25), track.push(350, 0).play(50, 100)])

    out = np.concatenate([before, after])[:, 0]
    assert track.timeline.statistics.reanchors == 0
    assert track.timeline.statistics.stretched_blocks > 50
    assert steepest_step(out[240:]) < 0.0009
    late = out[140 * 960 :]
    errors = [
        np.abs(late - heard(hum, 140 * 960 - shift, late.shape[0])).max()
        for shift in range(400, 500)
    ]
    assert min(errors) < 1e-3


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
        if not 100 < position < 65436:
            previous = None
            continue
        true = ((now_ns + BLOCK_NS // 2) * rate / SECOND) % 65536
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
        timeline.push(0, index * 960, packet(index * 960))
        timeline.push(0, index * 960 + 960, packet(index * 960 + 960))
        out.append(timeline.block(index * BLOCK_NS)[:, 0])
    assert timeline.statistics.stretched_blocks > 150
    sound = np.concatenate(out[100:])
    window = np.blackman(sound.shape[0])
    spectrum = np.abs(np.fft.rfft(sound * window)) / (window.sum() / 2)
    frequency = np.fft.rfftfreq(sound.shape[0], 1 / RATE)
    away = spectrum[np.abs(frequency - 3000) > 200]

    assert db(float(away.max())) < -80
