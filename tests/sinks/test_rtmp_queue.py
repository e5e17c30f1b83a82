"""The queue in front of a server: what is dropped, and that the rest can be decoded."""

from hypothesis import given
from hypothesis import strategies as some

from worker.ports import EncodedPacket, StreamKind
from worker.sinks.rtmp_queue import INTERLEAVE_MS, LIMIT_MS, GroupQueue

BOTH = frozenset(StreamKind)
GROUP = 20
FRAME_MS = 100
SOUND_MS = 20
"""Keyframes come every 2 s, 10 frames and 50 packets of sound a second."""


def picture(number: int) -> tuple[EncodedPacket, int]:
    is_key = number % GROUP == 0
    return EncodedPacket(StreamKind.VIDEO, b"v", number, number, 1, is_key), number * FRAME_MS


def sound(number: int) -> tuple[EncodedPacket, int]:
    return EncodedPacket(StreamKind.AUDIO, b"a", number, number, 1, True), number * SOUND_MS


def put_until(queue: GroupQueue, start_ms: int, end_ms: int) -> None:
    for at_ms in range(start_ms, end_ms, SOUND_MS):
        queue.put(*sound(at_ms // SOUND_MS))
        if at_ms % FRAME_MS == 0:
            queue.put(*picture(at_ms // FRAME_MS))


def drained(queue: GroupQueue) -> tuple[list[int], list[int]]:
    """Numbers of the pictures and sounds that can be taken now, each in order."""
    taken: dict[StreamKind, list[int]] = {StreamKind.VIDEO: [], StreamKind.AUDIO: []}
    last_ms = -1
    while (timed := queue.take()) is not None:
        assert timed[0] >= last_ms, "times never go back"
        last_ms = timed[0]
        taken[timed[1].kind].append(timed[1].pts)
    return taken[StreamKind.VIDEO], taken[StreamKind.AUDIO]


def is_decodable(numbers: list[int]) -> bool:
    starts = [b for a, b in zip([None, *numbers], numbers, strict=False) if a is None or b != a + 1]
    return all(number % GROUP == 0 for number in starts)


def test_what_is_taken_in_time_is_complete():
    queue, pictures, sounds = GroupQueue(BOTH), [], []
    for start_ms in range(0, 10_000, 500):
        put_until(queue, start_ms, start_ms + 500)
        if start_ms == 9_500:
            queue.close()
        more_pictures, more_sounds = drained(queue)
        pictures += more_pictures
        sounds += more_sounds

    assert pictures == list(range(100))
    assert sounds == list(range(500))
    assert queue.is_over
    assert (queue.dropped_groups, queue.dropped_pictures, queue.dropped_sound) == (0, 0, 0)


def test_a_full_queue_drops_its_oldest_group_whole_and_the_sound_that_old():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, LIMIT_MS + 200)
    queue.close()
    pictures, sounds = drained(queue)

    assert queue.dropped_groups == 1
    assert queue.dropped_pictures == GROUP
    assert pictures == list(range(GROUP, 42))
    assert sounds[0] * SOUND_MS >= GROUP * FRAME_MS, "a connection does not begin with sound"


def test_nothing_is_kept_for_longer_than_the_limit_however_long_nobody_comes():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 600_000)

    assert queue.span_ms <= LIMIT_MS
    assert len(queue) <= LIMIT_MS // FRAME_MS + LIMIT_MS // SOUND_MS + 2
    assert queue.pending_bytes == len(queue)
    queue.close()
    pictures, _ = drained(queue)
    assert pictures[0] % GROUP == 0
    assert pictures[-1] == 5999


def test_after_a_stall_pictures_resume_at_a_keyframe_and_the_sound_is_whole():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 1_000)
    first, first_sounds = drained(queue)
    queue.skip_to_keyframe()
    put_until(queue, 1_000, 3_000)
    queue.close()
    rest, rest_sounds = drained(queue)

    assert first[-1] < 10
    assert rest == list(range(GROUP, 30))
    assert first_sounds + rest_sounds == list(range(150))


def test_a_new_connection_begins_with_a_keyframe_and_no_older_sound():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 1_000)
    drained(queue)
    put_until(queue, 1_000, 1_500)
    queue.begin()
    assert queue.take() is None
    put_until(queue, 1_500, 2_500)

    kinds = []
    while (timed := queue.take()) is not None:
        kinds.append((timed[1].kind, timed[0]))
    assert kinds[0] == (StreamKind.VIDEO, 2_000)
    assert min(time_ms for _, time_ms in kinds) == 2_000


def test_a_far_keyframe_is_wanted_and_a_near_one_awaited():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 500)
    drained(queue)
    queue.begin()
    assert queue.wants_keyframe
    put_until(queue, 500, 1_800)
    assert not queue.wants_keyframe
    put_until(queue, 1_800, 2_100)
    assert not queue.wants_keyframe


def test_a_queue_that_holds_a_keyframe_wants_none():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 500)
    queue.begin()

    assert not queue.wants_keyframe


def test_sound_waits_for_its_pictures_but_not_for_ever():
    queue = GroupQueue(BOTH)
    queue.put(*picture(0))
    for number in range(1 + INTERLEAVE_MS // SOUND_MS):
        queue.put(*sound(number))

    taken = []
    while (timed := queue.take()) is not None:
        taken.append((timed[1].kind, timed[1].pts))
    assert taken == [(StreamKind.VIDEO, 0), (StreamKind.AUDIO, 0)]


def test_sound_alone_needs_no_keyframe():
    queue = GroupQueue(frozenset({StreamKind.AUDIO}))
    queue.begin()
    for number in range(10):
        queue.put(*sound(number))

    assert drained(queue) == ([], list(range(10)))
    assert not queue.wants_keyframe


def test_a_job_that_ends_without_a_keyframe_to_begin_with_is_over():
    queue = GroupQueue(BOTH)
    put_until(queue, 0, 1_000)
    drained(queue)
    put_until(queue, 1_000, 1_500)
    queue.begin()
    queue.close()

    assert queue.take() is None
    assert queue.is_over


@given(
    some.lists(
        some.one_of(
            some.tuples(some.just("put"), some.integers(1, 60)),
            some.tuples(some.just("take"), some.integers(1, 200)),
            some.tuples(some.sampled_from(["stall", "reconnect"]), some.just(0)),
        ),
        max_size=40,
    )
)
def test_whatever_happens_what_is_taken_can_be_decoded(acts):
    queue = GroupQueue(BOTH)
    now_ms, connection, taken = 0, 0, []
    for act, amount in acts:
        match act:
            case "put":
                put_until(queue, now_ms, now_ms + amount * FRAME_MS)
                now_ms += amount * FRAME_MS
            case "take":
                found = [timed for _ in range(amount) if (timed := queue.take()) is not None]
                taken += [(connection, each.kind, each.pts, at_ms) for at_ms, each in found]
            case "stall":
                queue.skip_to_keyframe()
            case "reconnect":
                queue.begin()
                connection += 1
        assert queue.span_ms <= LIMIT_MS
    for each in range(connection + 1):
        mine = [entry for entry in taken if entry[0] == each]
        assert is_decodable([pts for _, kind, pts, _ in mine if kind is StreamKind.VIDEO])
        assert [entry[3] for entry in mine] == sorted(entry[3] for entry in mine)
        assert not mine or mine[0][1] is StreamKind.VIDEO
