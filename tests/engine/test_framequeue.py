"""A queue that can be cut at keyframes, compared with a plain list."""

import random
from dataclasses import replace

from tests.fakes.room import frame
from worker.engine.framequeue import FrameQueue
from worker.ports import EncodedFrame


def some_frame(source: random.Random, number: int) -> EncodedFrame:
    plain = frame("ada", number, number / 30, keyframe=source.random() < 0.2)
    return replace(plain, data=source.randbytes(source.randrange(1, 50)))


def test_any_sequence_of_pushes_pops_and_cuts_leaves_what_it_leaves_of_a_list() -> None:
    source = random.Random(3)
    queue, expected, taken = FrameQueue(), [], []
    for number in range(5000):
        match source.choice(("push", "push", "pop", "put back", "cut")):
            case "push":
                one = some_frame(source, number)
                queue.push(one)
                expected.append(one)
            case "pop" if expected:
                taken.append(queue.pop())
                assert taken[-1] is expected.pop(0)
            case "put back":
                queue.put_back(taken)
                expected = [*taken, *expected]
                taken.clear()
            case "cut":
                keyframes = [n for n, one in enumerate(expected) if one.keyframe]
                following = expected[keyframes[1]] if len(keyframes) > 1 else None
                assert queue.next_keyframe is following
                queue.pop_to_next_keyframe()
                if following is not None:
                    expected = expected[keyframes[1] :]
                    taken.clear()
        assert len(queue) == len(expected)
        assert queue.bytes == sum(len(one.data) for one in expected)
        assert not expected or queue.first is expected[0]
