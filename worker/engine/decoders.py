"""The threads that decode video: cheap frames first, expensive sources apart, no call for ever.

A thread does all that waits in a row before it reports: to wake the event loop, and then the thread
again, costs as much as a small picture, and with 25 people came nearly 200 times a second.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

from worker.engine.daemon import DaemonThread

log = logging.getLogger(__name__)

T = TypeVar("T")

STUCK_LOOKS = 50
"""A call that was running at so many looks in a row, a tenth of a second apart, is given up.

Looks are counted, not time: in a process that was stopped for a while nothing is stuck."""

REPORT_S = 0.02
"""What is done is looked for so often while a thread goes on: no call keeps back another's."""


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    cost_ns: int
    work: Callable[[], T]
    done: Callable[[T], None]
    failed: Callable[[BaseException], None]
    given_up: Callable[[], None]
    report: Callable[[], None] = lambda: None
    """Tells the outcome."""
    looks: int = 0
    """How often it was found running."""

    def run(self) -> None:
        try:
            self.report = partial(self.done, self.work())
        except BaseException as exc:  # thread boundary: whoever submitted it is told
            self.report = partial(self.failed, exc)


@dataclass(slots=True, eq=False)
class _Shift:
    """Calls that a thread does in a row, but for those that were reported."""

    taken: list[_Call[object]] = field(default_factory=list)
    """The last one is running, until the thread is through."""


class DecoderThread:
    """Decodes for several sources, one call at a time. Used from the event loop's thread.

    Not bounded by count: each source has at most one call here.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = DaemonThread(name)
        self._lock = Lock()
        """Of what waits and of the shift; never held for long."""
        self._waiting: list[_Call[object]] = []
        self._shift: _Shift | None = None
        self._timer: asyncio.TimerHandle | None = None

    def submit(
        self,
        work: Callable[[], T],
        *,
        cost_ns: int,
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        given_up: Callable[[], None],
    ) -> None:
        """Have *work* done, then call *done* with its result, *failed* with what it raised, or
        *given_up*.

        Of several that wait the one with the least *cost_ns* goes first. So a source that costs
        much gets what the others leave, and none of them waits for more than one call of it.
        """
        with self._lock:
            self._waiting.append(_Call(cost_ns, work, done, failed, given_up))  # type: ignore[arg-type]
        # Whoever submits for one source does so for others next: the thread finds all of them.
        asyncio.get_running_loop().call_soon(self._begin)

    def look(self) -> None:
        """Notice a call that does not come back; to be called every tenth of a second."""
        shift = self._shift
        if shift is None or not shift.taken:
            return
        running = shift.taken[-1]
        running.looks += 1
        if running.looks >= STUCK_LOOKS:
            self._give_up(shift, running)

    def shutdown(self) -> None:
        """End the thread with the call it has, without waiting for it."""
        with self._lock:
            self._waiting.clear()
        self._rest()
        self._thread.shutdown()

    def _begin(self) -> None:
        if self._shift is not None or not self._waiting:
            return
        shift = self._shift = _Shift()
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(self._thread, self._work, shift)
        ended.add_done_callback(partial(self._ended, shift))
        self._timer = loop.call_later(REPORT_S, self._look_in)

    def _work(self, shift: _Shift) -> None:
        """On the thread."""
        while (call := self._take(shift)) is not None:
            call.run()

    def _take(self, shift: _Shift) -> _Call[object] | None:
        """On the thread: what is to be done next; nothing once the shift was given up."""
        with self._lock:
            if shift is not self._shift or not self._waiting:
                return None
            call = min(self._waiting, key=lambda waiting: waiting.cost_ns)
            self._waiting.remove(call)
            shift.taken.append(call)
            return call

    def _look_in(self) -> None:
        if self._shift is not None:
            _report(self._done(self._shift))
            self._timer = asyncio.get_running_loop().call_later(REPORT_S, self._look_in)

    def _done(self, shift: _Shift) -> Sequence[_Call[object]]:
        """All but the one that is running; each is told once."""
        with self._lock:
            done, shift.taken = shift.taken[:-1], shift.taken[-1:]
        return done

    def _ended(self, shift: _Shift, outcome: asyncio.Future[None]) -> None:
        if outcome.cancelled() or shift is not self._shift:
            return
        self._leave()
        _report(shift.taken)

    def _give_up(self, shift: _Shift, stuck: _Call[object]) -> None:
        log.error("decoder stuck, its thread is replaced", extra={"decoder": self._name})
        done = self._done(shift)
        self._thread.shutdown()
        self._thread = DaemonThread(self._name)
        self._leave()
        _report(done)
        stuck.given_up()

    def _leave(self) -> None:
        """The shift is over; the next one begins if something waits."""
        self._rest()
        with self._lock:
            self._shift = None
        self._begin()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _report(ended: Sequence[_Call[object]]) -> None:
    """Each in a callback of its own: none can keep back another's."""
    loop = asyncio.get_running_loop()
    for call in ended:
        loop.call_soon(call.report)


class DecoderThreads:
    """A few threads that sources are spread over, and one more for those that cost too much."""

    def __init__(self, count: int) -> None:
        self._ordinary = [DecoderThread(f"decode_{number}") for number in range(count)]
        self._heavy: DecoderThread | None = None
        self._given = 0

    def next(self) -> DecoderThread:
        """The thread for a new source, in turn."""
        self._given += 1
        return self._ordinary[(self._given - 1) % len(self._ordinary)]

    @property
    def heavy(self) -> DecoderThread:
        """The thread that all heavy sources share; begins when it is needed."""
        if self._heavy is None:
            self._heavy = DecoderThread(f"decode_{len(self._ordinary)}")
        return self._heavy

    def look(self) -> None:
        """Notice calls that do not come back; to be called every tenth of a second."""
        for thread in self._all():
            thread.look()

    def shutdown(self) -> None:
        """End all threads, without waiting for any."""
        for thread in self._all():
            thread.shutdown()

    def _all(self) -> list[DecoderThread]:
        return self._ordinary if self._heavy is None else [*self._ordinary, self._heavy]
