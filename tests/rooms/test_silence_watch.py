from collections.abc import Collection, Mapping

from worker.core.identity import TrackId
from worker.core.timing import NS_PER_S
from worker.rooms.silence import Judgement, SilenceWatch

CAM, MIC = TrackId("p/cam"), TrackId("p/mic")
FINE = Judgement(is_dead=False)


def judge(
    watch: SilenceWatch,
    now_s: float,
    last_s: Mapping[TrackId, float] | None = None,
    *,
    connected_s: float = 0,
    carried: Collection[TrackId] = (CAM, MIC),
    refused: Collection[TrackId] = (),
) -> Judgement:
    last_ns = {track_id: round(at_s * NS_PER_S) for track_id, at_s in (last_s or {}).items()}
    return watch.judge(
        round(now_s * NS_PER_S),
        connected_ns=round(connected_s * NS_PER_S),
        carried=carried,
        refused=refused,
        last_packet_ns=last_ns.get,
    )


def watching(*track_ids: TrackId, since_s: float = 0) -> SilenceWatch:
    watch = SilenceWatch()
    watch.expect(track_ids, round(since_s * NS_PER_S))
    return watch


def test_a_track_that_is_silent_for_three_seconds_is_reminded_and_after_six_given_up() -> None:
    watch = watching(CAM, MIC)
    assert judge(watch, 12.9, {CAM: 10, MIC: 12.9}) == FINE
    assert judge(watch, 13.1, {CAM: 10, MIC: 13}) == Judgement(is_dead=False, silent=(CAM,))
    assert not judge(watch, 15.9, {CAM: 10, MIC: 15.9}).is_dead
    assert judge(watch, 16.1, {CAM: 10, MIC: 16.1}).is_dead


def test_a_session_from_which_nothing_comes_for_five_seconds_is_dead() -> None:
    watch = watching(CAM, MIC)
    assert not judge(watch, 14.9, {CAM: 10, MIC: 9.9}).is_dead
    assert judge(watch, 15.1, {CAM: 10, MIC: 9.9}).is_dead


def test_a_new_session_has_its_time_from_its_beginning() -> None:
    watch = watching(CAM)
    assert not judge(watch, 104.9, connected_s=100).is_dead
    assert judge(watch, 105.1, connected_s=100).is_dead


def test_who_was_paused_or_muted_for_long_is_not_late_at_once() -> None:
    watch = watching(MIC)
    watch.expect([], 10 * NS_PER_S)
    assert judge(watch, 500, {MIC: 10}) == FINE
    watch.expect([MIC], 500 * NS_PER_S)
    assert judge(watch, 502, {MIC: 10}) == FINE
    assert judge(watch, 505.1, {MIC: 10}).is_dead


def test_a_publisher_that_never_sends_is_asked_less_and_less_often_until_it_does() -> None:
    watch = watching(MIC)
    assert judge(watch, 5.1, carried=(MIC,)).is_dead
    watch.has_replaced()
    assert not judge(watch, 15, connected_s=5.2, carried=(MIC,)).is_dead
    assert judge(watch, 15.3, connected_s=5.2, carried=(MIC,)).is_dead
    for _ in range(10):
        watch.has_replaced()
    assert not judge(watch, 55, connected_s=15.4, carried=(MIC,)).is_dead
    assert judge(watch, 56, connected_s=15.4, carried=(MIC,)).is_dead
    assert judge(watch, 120, {MIC: 120}, connected_s=60, carried=(MIC,)) == FINE
    assert judge(watch, 125.1, {MIC: 120}, connected_s=60, carried=(MIC,)).is_dead


def test_a_track_that_was_listed_but_never_offered_is_asked_for_on_a_new_session() -> None:
    watch = watching(MIC)
    watch.expect([MIC, CAM], 20 * NS_PER_S)
    assert not judge(watch, 22.9, {MIC: 22.9}, carried=(MIC,)).is_dead
    assert judge(watch, 23.1, {MIC: 23.1}, carried=(MIC,)).is_dead


def test_what_cannot_be_received_is_not_waited_for() -> None:
    watch = watching(MIC, CAM)
    assert judge(watch, 100, {MIC: 100}, carried=(MIC,), refused=(CAM,)) == FINE
    assert judge(watch, 100, carried=(), refused=(CAM, MIC)) == FINE
