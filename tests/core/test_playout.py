import pytest

from worker.core.identity import Source
from worker.core.playout import VideoPlayout, hold_ns

S = 1_000_000_000
MS = 1_000_000


def playout(**options):
    return VideoPlayout(hold_ns(Source.CAMERA), **options)


def test_the_newest_picture_whose_instant_has_come_is_shown():
    video = playout()
    for name, due_ms in [("a", 0), ("b", 33), ("c", 67)]:
        video.push(name, due_ms * MS)

    assert video.pick(-1) is None
    assert [video.pick(at * MS) for at in (0, 20, 33, 66, 67, 100)] == [
        "a", "a", "b", "b", "c", "c",
    ]  # fmt: skip
    assert video.statistics.shown == 3
    assert (video.statistics.skipped, video.statistics.late) == (0, 0)


def test_pictures_between_two_picks_are_skipped_and_counted():
    video = playout()
    for index in range(5):
        video.push(index, index * 10 * MS)

    assert video.pick(35 * MS) == 3
    assert video.pick(45 * MS) == 4
    assert (video.statistics.shown, video.statistics.skipped) == (2, 3)


def test_a_picture_that_comes_after_its_instant_is_late_but_shown():
    video = playout()
    video.push("a", 0)
    video.pick(100 * MS)

    video.push("b", 50 * MS)

    assert video.pick(133 * MS) == "b"
    assert (video.statistics.late, video.statistics.shown) == (1, 2)


@pytest.mark.parametrize(
    ("source", "seconds"), [(Source.CAMERA, 3), (Source.SCREEN, 30), (Source.MICROPHONE, 3)]
)
def test_a_picture_is_held_for_a_while_and_then_the_placeholder_shows(source, seconds):
    video = VideoPlayout(hold_ns(source))
    video.push("a", 0)

    assert video.pick(seconds * S) == "a"
    assert video.pick(seconds * S + 1) is None
    video.push("b", seconds * S + MS)
    assert video.pick(seconds * S + MS) == "b"


def test_too_many_waiting_pictures_cost_the_oldest():
    video = playout(capacity=3)
    for index in range(5):
        video.push(index, (100 + index) * MS)

    assert len(video) == 3
    assert video.pick(102 * MS) == 2
    assert video.statistics.skipped == 2


def test_a_clock_that_was_set_back_drops_what_was_to_come():
    video = playout()
    video.push("old", 2000 * MS)
    video.push("older", 2033 * MS)
    video.push("new", 50 * MS)
    video.push("newer", 83 * MS)

    assert video.pick(60 * MS) == "new"
    assert video.pick(90 * MS) == "newer"
    assert video.pick(2050 * MS) == "newer"
    assert video.statistics.skipped == 2


def test_mute_shows_nothing_and_unmute_only_what_came_since():
    video = playout()
    video.push("a", 0)
    video.push("b", 10 * MS)
    video.pick(0)

    video.mute()
    assert video.pick(20 * MS) is None
    video.unmute()
    assert video.pick(30 * MS) is None

    video.mute()
    video.push("c", 40 * MS)
    assert video.pick(50 * MS) is None
    video.unmute()
    assert video.pick(60 * MS) == "c"


def test_clear_forgets_everything():
    video = playout()
    video.push("a", 0)
    video.pick(0)
    video.push("b", MS)

    video.clear()

    assert video.pick(2 * MS) is None
    assert len(video) == 0
