from worker.core.timing import NS_PER_MS
from worker.rooms.receive.keyframes import KeyframeRequests

MS = NS_PER_MS


def taken(requests: KeyframeRequests, start_ms: int, end_ms: int) -> list[int]:
    return [now for now in range(start_ms, end_ms, 10) if requests.take(now * MS)]


def test_a_need_is_met_when_it_begins_and_then_once_a_second() -> None:
    requests = KeyframeRequests()
    requests.need(200 * MS)
    assert taken(requests, 0, 2500) == [200, 1200, 2200]


def test_a_more_urgent_need_comes_first() -> None:
    requests = KeyframeRequests()
    requests.need(200 * MS)
    requests.need(100 * MS)
    requests.need(900 * MS)
    assert taken(requests, 0, 1000) == [100]


def test_a_keyframe_satisfies_everybody() -> None:
    requests = KeyframeRequests()
    requests.need(0)
    requests.ask()
    requests.satisfied()
    assert taken(requests, 0, 5000) == []


def test_asking_often_sends_the_first_at_once_and_then_one_a_second() -> None:
    requests = KeyframeRequests()
    sent = []
    for now in range(0, 3000, 100):
        requests.ask()
        if requests.take(now * MS):
            sent.append(now)
    assert sent == [0, 1000, 2000]


def test_asking_once_sends_one() -> None:
    requests = KeyframeRequests()
    requests.ask()
    assert taken(requests, 0, 5000) == [0]


def test_a_publisher_that_never_answers_is_asked_less_often() -> None:
    requests = KeyframeRequests()
    requests.need(0)
    sent = taken(requests, 0, 30_000)
    assert sent == [*range(0, 10_000, 1000), 14_000, 19_000, 24_000, 29_000]
    requests.satisfied()
    requests.need(30_000 * MS)
    assert taken(requests, 30_000, 33_000) == [30_000, 31_000, 32_000]


def test_what_is_put_off_is_asked_for_later_and_as_often_as_at_first() -> None:
    requests = KeyframeRequests()
    requests.need(0)
    assert taken(requests, 0, 9_500)[-1] == 9_000
    requests.put_off(9_700 * MS)
    assert taken(requests, 9_500, 13_000) == [10_000, 11_000, 12_000]
    requests.put_off(13_900 * MS)
    assert taken(requests, 13_000, 15_000) == [13_900, 14_900]


def test_putting_off_makes_no_need() -> None:
    requests = KeyframeRequests()
    requests.put_off(0)
    assert requests.is_idle


def test_a_need_that_was_met_by_repair_is_asked_for_no_more() -> None:
    requests = KeyframeRequests()
    requests.need(0)
    assert taken(requests, 0, 500) == [0]
    requests.withdraw()
    assert taken(requests, 500, 5000) == []
    requests.need(5000 * MS)
    assert taken(requests, 5000, 6500) == [5000, 6000]


def test_repair_does_not_serve_who_asked_for_a_keyframe_itself() -> None:
    requests = KeyframeRequests()
    requests.ask()
    requests.withdraw()
    assert taken(requests, 0, 3000) == [0]
