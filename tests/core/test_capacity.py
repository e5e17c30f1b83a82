"""The cost model counts what there is to do; its coefficients are checked by benchmarks/fit.py."""

import pytest

from worker.core.capacity import (
    HEADROOM_CORES,
    HEADROOM_MEMORY,
    Coefficients,
    Feed,
    Load,
    estimate,
    packets_per_s,
    usual_kbps,
    work_of,
)
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.template import parse_template

HD = parse_template("1280x720_30_1710")
HD15 = parse_template("1280x720_15_1130")
LARGE = Feed(9, Codec.VP8, Size(640, 360), 30, 500)
# Powers of ten, so that every digit of a sum tells where it came from.
PLAIN = Coefficients(
    receive_fixed=1.0,
    receive_person=0.002,
    receive_packet=0.001,
    decode_mp={Codec.VP8: 0.01, Codec.H264: 0.02, Codec.VP9: 0.03},
    decode_frame=0.001,
    compose_scaled_mp=0.01,
    compose_painted_mp=0.1,
    compose_tile=0.001,
    sound_fixed=2.0,
    sound_person=0.01,
    encode_mp=0.01,
    write_output=0.5,
    memory_fixed_mb=100.0,
    memory_person_mb=1.0,
    memory_shown_mp_mb=10.0,
    memory_canvas_mp_mb=20.0,
)


def test_a_frame_is_as_many_packets_as_its_bytes_need():
    # 500 kbit/s at 30 fps: 2083 bytes a frame, two packets.
    assert packets_per_s(30, 500) == 60
    # 150 kbit/s at 15 fps: 1250 bytes, two packets.
    assert packets_per_s(15, 150) == 30
    assert packets_per_s(30, 10) == 30


def test_work_is_counted_from_who_sends_what():
    work = work_of(Load(people=9, feeds=(LARGE,), shown=25, template=HD))

    assert work.packets_per_s == 9 * 50 + 9 * 60
    assert work.decoded_frames_per_s == 270
    assert work.decoded_mp_per_s == {Codec.VP8: pytest.approx(9 * 30 * 0.2304)}
    assert work.tiles_per_s == 270
    # Every picture is read whole; what is written fills the canvas 30 times a second.
    assert work.scaled_mp_per_s == pytest.approx(9 * 30 * 0.2304 + 30 * 0.9216)
    assert work.painted_mp_per_s == pytest.approx(30 * 0.9216)
    assert work.encoded_mp_per_s == pytest.approx(30 * 0.9216)


def test_pictures_beyond_those_shown_cost_only_their_sound():
    all_of_25 = Load(25, (Feed(25, Codec.VP8, Size(320, 180), 15, 150),), 25, HD)
    of_a_hundred = Load(100, (Feed(100, Codec.VP8, Size(320, 180), 15, 150),), 25, HD)

    few, many = work_of(all_of_25), work_of(of_a_hundred)

    assert many.packets_per_s - few.packets_per_s == 75 * 50
    assert many.decoded_frames_per_s == few.decoded_frames_per_s
    assert many.scaled_mp_per_s == few.scaled_mp_per_s


def test_the_first_feeds_are_the_ones_shown():
    screen = Feed(1, Codec.VP9, Size(1280, 720), 10, 800)

    work = work_of(Load(9, (screen, LARGE), shown=3, template=HD))

    assert work.decoded_frames_per_s == 10 + 2 * 30
    assert work.decoded_mp_per_s is not None
    assert work.decoded_mp_per_s[Codec.VP9] == pytest.approx(9.216)


def test_a_picture_of_its_tiles_size_is_not_scaled():
    # Sixteen tiles of 1280x720 are 320x180 each.
    feed = Feed(16, Codec.H264, Size(320, 180), 15, 150)

    work = work_of(Load(16, (feed,), 25, HD))

    assert work.scaled_mp_per_s == 0
    assert work.tiles_per_s == 16 * 15
    # Sources at 15 fps change a canvas of 30 fps fifteen times a second.
    assert work.painted_mp_per_s == pytest.approx(15 * 0.9216)


def test_an_output_of_fewer_frames_scales_fewer_but_decodes_all():
    work = work_of(Load(9, (LARGE,), 25, HD15))

    assert work.decoded_frames_per_s == 270
    assert work.tiles_per_s == 9 * 15
    assert work.encoded_mp_per_s == pytest.approx(15 * 0.9216)


def test_sound_alone_costs_no_picture():
    needed = estimate(Load(4, (LARGE,), 25, template=None), PLAIN)

    assert needed.stages["decode"] == needed.stages["compose"] == needed.stages["encode"] == 0
    assert needed.stages["receive"] == pytest.approx(1 + 0.002 * 4 + 0.001 * 200)
    assert needed.stages["sound"] == pytest.approx(2.04)
    assert needed.memory_mb == 104


def test_the_estimate_adds_up_by_stage():
    needed = estimate(Load(9, (LARGE,), 25, HD, outputs=2), PLAIN)

    assert needed.stages == pytest.approx(
        {
            "receive": 1 + 0.002 * 9 + 0.001 * 990,
            "decode": 0.001 * 270 + 0.01 * 62.208,
            "compose": 0.01 * 89.856 + 0.1 * 27.648 + 0.001 * 270,
            "sound": 2.09,
            "encode": 0.27648,
            "write": 1.0,
        }
    )
    assert needed.cores == pytest.approx(sum(needed.stages.values()))
    assert needed.memory_mb == pytest.approx(100 + 9 + 10 * 2.0736 + 20 * 0.9216)


def test_every_codec_has_its_own_price():
    def decode(codec: Codec) -> float:
        feed = Feed(1, codec, Size(1000, 1000), 10, 500)
        return estimate(Load(1, (feed,), 25, HD), PLAIN).stages["decode"]

    assert decode(Codec.VP8) == pytest.approx(0.11)
    assert decode(Codec.H264) == pytest.approx(0.21)
    assert decode(Codec.VP9) == pytest.approx(0.31)


def test_a_stage_that_is_too_much_for_its_threads_is_named():
    needed = estimate(Load(9, (LARGE,), 25, HD), PLAIN)

    assert needed.too_slow({"decode": 2}) == ["receive", "compose", "sound"]
    assert needed.too_slow({"decode": 1, "receive": 4, "compose": 7, "sound": 4}) == ["decode"]


def test_a_machine_carries_what_its_scarcer_resource_allows():
    needed = estimate(Load(4, (), 25, template=None), PLAIN)
    cores, memory_mb = needed.cores * HEADROOM_CORES, needed.memory_mb * HEADROOM_MEMORY

    assert needed.jobs_on(cores=cores * 3.5, memory_mb=memory_mb * 10) == 3
    assert needed.jobs_on(cores=cores * 10, memory_mb=memory_mb * 2.9) == 2
    assert needed.jobs_on(cores=cores * 0.9, memory_mb=memory_mb) == 0


def test_the_usual_bitrate_is_that_of_a_360p_camera_scaled():
    assert usual_kbps(Size(640, 360), 30) == 500
    assert 120 < usual_kbps(Size(640, 360), 5) < 140
    assert 1300 < usual_kbps(Size(1280, 720), 30) < 1600
