import numpy as np

from worker.core.audio.pcmring import HISTORY, PcmRing


def count(first, last):
    return np.arange(first, last, dtype=np.float32)[:, None]


def ring(start, end):
    pcm = PcmRing()
    pcm.reset(start)
    pcm.append(count(start, end))
    return pcm


def test_samples_are_read_by_position_and_silence_lies_around_them():
    pcm = ring(100, 200)

    np.testing.assert_array_equal(pcm.read(150, 160), count(150, 160))
    out = pcm.read(90, 210)[:, 0]
    assert not out[:10].any()
    np.testing.assert_array_equal(out[10:110], np.arange(100, 200))
    assert not out[110:].any()
    assert not pcm.read(0, 50).any()
    assert not pcm.read(300, 350).any()


def test_what_is_read_is_a_copy():
    pcm = ring(0, 10)
    pcm.read(0, 10)[:] = 7

    np.testing.assert_array_equal(pcm.read(0, 10), count(0, 10))


def test_the_window_moves_on_for_ever_and_keeps_a_little_history():
    pcm = ring(0, 960)
    for start in range(960, 960_000, 960):
        pcm.discard_before(start)
        pcm.append(count(start, start + 960))
        np.testing.assert_array_equal(
            pcm.read(start - HISTORY, start + 960), count(start - HISTORY, start + 960)
        )

    assert pcm.start == pcm.end - 960 - HISTORY


def test_everything_before_a_position_can_be_forgotten_but_not_more_than_there_is():
    pcm = ring(0, 100)

    pcm.forget_before(40)
    assert (pcm.start, pcm.end) == (40, 100)
    pcm.forget_before(30)
    pcm.forget_before(500)
    assert (pcm.start, pcm.end) == (100, 100)


def test_mono_becomes_stereo_with_the_first_stereo_samples_and_stays_so():
    pcm = ring(0, 10)
    pcm.append(np.stack([np.full(5, 1), np.full(5, 2)], axis=1).astype(np.float32))
    pcm.append(count(15, 20))

    out = pcm.read(0, 20)
    np.testing.assert_array_equal(out[:10], np.repeat(count(0, 10), 2, axis=1))
    np.testing.assert_array_equal(out[10:15], [[1, 2]] * 5)
    np.testing.assert_array_equal(out[15:], np.repeat(count(15, 20), 2, axis=1))


def test_silence_overwrites_what_the_memory_held_before():
    pcm = ring(0, 100)
    pcm.reset(0)
    pcm.append_silence(50)

    assert pcm.end == 50
    assert not pcm.read(0, 50).any()


def test_scaling_touches_only_what_is_there():
    pcm = ring(100, 110)
    pcm.scale(95, np.full(10, 2, np.float32))

    np.testing.assert_array_equal(
        pcm.read(100, 110)[:, 0], [200, 202, 204, 206, 208, 105, 106, 107, 108, 109]
    )
    pcm.scale(200, np.full(10, 2, np.float32))
    assert pcm.read(109, 110)[0, 0] == 109
