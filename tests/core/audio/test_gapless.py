import numpy as np
import pytest

from tests.support.fake_opus import FakeOpus, packet
from worker.core.audio.gapless import GaplessSound, TimelineStatistics, fade_out
from worker.errors import MediaError


def ones(positions):
    return np.ones(positions.shape[0])


def sound(*, packets, packet_samples=960, decoder=None):
    statistics = TimelineStatistics()
    gapless = GaplessSound(decoder or FakeOpus(ones), statistics)
    gapless.packet_samples = packet_samples
    for index in packets:
        gapless.packets.push(index * packet_samples, packet(index * packet_samples, packet_samples))
    return gapless, statistics


def test_decoding_goes_no_further_than_it_is_asked_to():
    gapless, statistics = sound(packets=range(10))

    gapless.fill(961)

    assert gapless.ring.end == 1920
    assert statistics.packets_decoded == 2
    assert len(gapless.packets) == 8


def test_of_three_lost_packets_two_are_concealed_and_the_last_is_recovered():
    decoder = FakeOpus(ones)
    gapless, _ = sound(packets=[0, 4, 5], decoder=decoder)

    gapless.fill(5 * 960)

    assert decoder.concealed == [960, 960]
    assert decoder.recovered == [960]


def test_an_odd_gap_is_asked_for_in_whole_steps_of_the_codec():
    decoder = FakeOpus(ones)
    gapless, _ = sound(packets=[0], decoder=decoder)
    gapless.packets.push(1000, packet(1000))

    gapless.fill(1960)

    assert decoder.recovered == [120]
    np.testing.assert_array_equal(gapless.ring.read(300, 1960), 1)


@pytest.mark.parametrize(
    ("packet_samples", "chunks"),
    [(480, [480] * 6 + [960]), (960, [960] * 3 + [960]), (5760, [2880, 960])],
)
def test_without_a_following_packet_60_ms_are_concealed_and_20_faded(packet_samples, chunks):
    decoder = FakeOpus(ones)
    gapless, statistics = sound(packets=[0], packet_samples=packet_samples, decoder=decoder)

    gapless.fill(packet_samples + 9600)

    assert decoder.concealed == chunks
    assert gapless.is_silent
    assert statistics.concealed_ms == 80
    assert not gapless.ring.read(packet_samples + 3840, packet_samples + 9600).any()


def test_a_damaged_packet_after_a_gap_is_concealed_twice():
    class Broken(FakeOpus):
        def recover(self, following, samples):
            raise MediaError("no")

    decoder = Broken(ones)
    gapless, statistics = sound(packets=[0, 2], decoder=decoder)

    gapless.fill(2880)

    assert decoder.concealed == [960]
    assert statistics.packets_recovered == 1


def test_a_packet_that_would_overlap_gives_only_its_rest():
    gapless, statistics = sound(packets=[0])
    gapless.fill(960)
    gapless.packets.push(500, packet(500))

    gapless.fill(1460)

    assert gapless.ring.end == 1460
    assert statistics.packets_decoded == 2


def test_a_packet_that_is_behind_altogether_is_late():
    gapless, statistics = sound(packets=[0, 1])
    gapless.fill(1920)
    gapless.packets.push(900, packet(900))

    assert not gapless.has_packet_before(10_000)
    assert statistics.packets_late == 1


def test_a_fade_goes_from_one_to_zero():
    fade = fade_out(240)

    assert fade[0] > 0.999
    assert fade[-1] < 0.001
    assert (np.diff(fade) < 0).all()
