from worker.core.demand import Demand
from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S as S

ANN, BOB = TrackId("ann"), TrackId("bob")
SMALL, LARGE = Size(320, 180), Size(640, 360)
NOBODY: frozenset[TrackId] = frozenset()


def test_the_first_look_always_answers_and_then_only_news_do() -> None:
    demand = Demand(5 * S)

    assert demand.look({}, 0, without=NOBODY) == {}
    assert demand.look({}, 1, without=NOBODY) is None
    assert demand.look({ANN: SMALL}, 2, without=NOBODY) == {ANN: SMALL}
    assert demand.look({ANN: SMALL}, 3, without=NOBODY) is None


def test_a_video_is_asked_for_at_once_and_given_up_after_it_was_out_of_sight_for_long() -> None:
    demand = Demand(5 * S)
    demand.look({ANN: SMALL}, 0, without=NOBODY)

    assert demand.look({BOB: SMALL}, S, without=NOBODY) == {ANN: SMALL, BOB: SMALL}
    assert demand.look({BOB: SMALL}, 6 * S - 1, without=NOBODY) is None
    assert demand.look({BOB: SMALL}, 6 * S, without=NOBODY) == {BOB: SMALL}


def test_a_tile_that_comes_and_goes_costs_nothing() -> None:
    demand = Demand(5 * S)
    demand.look({ANN: SMALL}, 0, without=NOBODY)

    for second in range(1, 60):
        videos = {} if second % 4 else {ANN: SMALL}
        assert demand.look(videos, second * S, without=NOBODY) is None


def test_a_larger_tile_counts_at_once_and_a_smaller_one_later() -> None:
    demand = Demand(5 * S)
    demand.look({ANN: SMALL}, 0, without=NOBODY)

    assert demand.look({ANN: LARGE}, S, without=NOBODY) == {ANN: LARGE}
    assert demand.look({ANN: SMALL}, 2 * S, without=NOBODY) is None
    assert demand.look({ANN: LARGE}, 3 * S, without=NOBODY) is None
    assert demand.look({ANN: SMALL}, 4 * S, without=NOBODY) is None
    assert demand.look({ANN: SMALL}, 8 * S, without=NOBODY) is None
    assert demand.look({ANN: SMALL}, 9 * S, without=NOBODY) == {ANN: SMALL}


def test_what_is_barred_is_given_up_at_once_and_asked_for_again_when_it_is_not() -> None:
    demand = Demand(5 * S)
    demand.look({ANN: SMALL, BOB: SMALL}, 0, without=NOBODY)

    assert demand.look({ANN: SMALL, BOB: SMALL}, 1, without=frozenset({ANN})) == {BOB: SMALL}
    assert demand.look({ANN: SMALL, BOB: SMALL}, 2, without=frozenset({ANN})) is None
    assert demand.look({ANN: SMALL, BOB: SMALL}, 3, without=NOBODY) == {BOB: SMALL, ANN: SMALL}
