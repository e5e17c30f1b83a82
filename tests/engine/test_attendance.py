"""What the result says of people, and what is kept of them until then."""

from tests.engine.test_crowd import HearingKit, in_order, joined, left, microphone, spoken
from tests.fakes.room import person
from tests.support.jobs import SPEC, run, stop_at
from worker.core.identity import Track
from worker.engine.attendance import Attendance, Departed, entry_of
from worker.engine.report import report
from worker.ports import TrackStatistics


def entry_with(name: str, *tracks: Track, joined_ns: int = 5, left_ns: int | None = 9):
    attendance = Attendance(person(name), joined_ns, left_ns)
    attendance.tracks = {track.track_id: track for track in tracks}
    statistics = {track.track_id: TrackStatistics(packets_lost=3) for track in tracks}
    facts = {track.track_id: {"concealed_ms": 40} for track in tracks}
    return entry_of(attendance, statistics, facts), statistics.values()


def test_who_has_departed_is_told_as_if_still_there():
    departed = Departed()
    ada, counters = entry_with("ada", microphone("ada"))
    departed.add(ada, counters)
    bob, counters = entry_with("bob", left_ns=7)
    departed.add(bob, counters)

    assert list(departed) == [ada, bob]
    assert ada.tracks[0]["packets_lost"] == 3
    assert ada.tracks[0]["concealed_ms"] == 40


def test_counters_of_the_departed_stay_in_the_sums():
    departed = Departed()
    for _ in range(3):
        departed.add(*entry_with("ada", microphone("ada")))

    assert departed.totals == TrackStatistics(packets_lost=9)


def test_who_comes_back_with_the_same_ids_is_in_the_result_twice_each_time_with_its_own_turns():
    script = in_order(
        joined("ada", 0.0, microphone("ada")),
        spoken("ada", 0.3, 1.5),
        [left("ada", 2.0)],
        joined("ada", 4.0, microphone("ada")),
        spoken("ada", 4.3, 5.5),
        [left("ada", 6.0)],
        joined("bob", 7.0, microphone("bob")),
    )

    done = run(SPEC, script, kit=HearingKit(), during=stop_at(15.0))

    assert done.error is None
    assert len(done.job.intake.departed) == 2
    first, second, bob = report(done.job)["participants"]
    assert (first["user_id"], second["user_id"], bob["user_id"]) == ("ada", "ada", "bob")
    assert (first["left_s"], second["joined_s"], bob["left_s"]) == (2.0, 4.0, None)
    for presence, from_s in ((first, 0.3), (second, 4.3)):
        [turn] = presence["speaker_turns"]
        assert abs(turn["from_s"] - from_s) < 0.15
        [track] = presence["tracks"]
        assert 55 < track["packets_decoded"] <= 60


def test_who_comes_back_at_once_with_the_same_ids_has_counters_of_both_times():
    script = in_order(
        joined("ada", 0.0, microphone("ada")),
        spoken("ada", 0.3, 1.5),
        [left("ada", 2.0)],
        joined("ada", 2.5, microphone("ada")),
        spoken("ada", 2.8, 4.0),
    )

    done = run(SPEC, script, kit=HearingKit(), during=stop_at(12.0))

    first, second = report(done.job)["participants"]
    assert (first["left_s"], second["left_s"]) == (2.0, None)
    for presence in (first, second):
        [track] = presence["tracks"]
        assert 55 < track["packets_decoded"] <= 60
