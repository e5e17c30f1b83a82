from worker.core.playoutdelay import PlayoutDelay
from worker.core.timing import NS_PER_MS

MS = NS_PER_MS


def delay(least_ms: int = 600, most_ms: int = 1600) -> PlayoutDelay:
    return PlayoutDelay(
        least_ms * MS, most_ns=most_ms * MS, picture_lead_ns=100 * MS, sound_lead_ns=300 * MS
    )


def test_what_fits_changes_nothing():
    playout = delay()

    assert not playout.need(repair_ns=600 * MS, picture_late_ns=450 * MS, sound_late_ns=300 * MS)
    assert playout.now_ns == 600 * MS


def test_it_grows_by_whole_steps_to_what_repairs_need_and_stays_there():
    playout = delay()

    assert playout.need(repair_ns=1320 * MS)
    assert playout.now_ns == 1350 * MS
    assert not playout.need(repair_ns=700 * MS)
    assert playout.now_ns == 1350 * MS


def test_late_pictures_and_late_sound_need_their_decoding_time_on_top():
    for needs, expected_ms in (
        ({"picture_late_ns": 500 * MS}, 650),
        ({"sound_late_ns": 500 * MS}, 800),
    ):
        playout = delay()
        assert playout.need(**needs)
        assert playout.now_ns == expected_ms * MS


def test_it_never_exceeds_the_most():
    playout = delay()

    assert playout.need(picture_late_ns=20_000 * MS)
    assert playout.now_ns == 1600 * MS
    assert not playout.need(picture_late_ns=30_000 * MS)


def test_a_job_that_asks_for_more_than_the_most_gets_it_and_stays_there():
    playout = delay(least_ms=3000)

    assert not playout.need(repair_ns=5000 * MS)
    assert playout.now_ns == 3000 * MS


def test_packets_are_waited_for_as_long_as_decoding_leaves():
    playout = delay()
    assert (playout.picture_patience_ns, playout.sound_patience_ns) == (450 * MS, 300 * MS)

    playout.need(repair_ns=1350 * MS)

    assert (playout.picture_patience_ns, playout.sound_patience_ns) == (1200 * MS, 1050 * MS)
    assert delay(least_ms=100).picture_patience_ns == 0
