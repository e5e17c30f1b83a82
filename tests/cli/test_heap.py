import gc
import weakref
from collections.abc import Iterator

import pytest

from worker.cli.heap import Heap


class Knot:
    """Holds itself, as the parts of a transport hold each other."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_collector_but_ours() -> Iterator[None]:
    gc.disable()
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("no_collector_but_ours")
def test_garbage_of_leavers_is_gone_within_a_minute_of_recording() -> None:
    heap = Heap()
    heap.look(0.0)
    left = weakref.ref(Knot())
    heap.look(59.9)
    assert left() is not None
    heap.look(60.1)
    assert left() is None
    later = weakref.ref(Knot())
    heap.look(119.9)
    assert later() is not None
    heap.look(120.2)
    assert later() is None


@pytest.mark.usefixtures("no_collector_but_ours")
def test_what_was_there_at_the_start_is_not_looked_through_again() -> None:
    before = Knot()
    Heap().look(0.0)
    after = Knot()
    found = {id(each) for each in gc.get_objects()}
    assert id(after) in found
    assert id(before) not in found
