"""The threads that decode video: cheap frames first, expensive sources apart, no call for ever."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from worker.engine.daemon import DaemonThread

log = logging.getLogger(__name__)

T = TypeVar("T")

STUCK_LOOKS = 50
"""A call that was running at so many looks in a row, a tenth of a second apart, is given up.

Looks are counted, not time: in a process that was stopped for a while nothing is stuck."""


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    cost_ns: int
    work: Callable[[], T]
    done: Callable[[asyncio.Future[T]], None]
    given_up: Callable[[], None]


class DecoderThread:
    """Decodes for several sources, one call at a time. Used from the event loop's thread.

    Not bounded by count: each source has at most one call here.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = DaemonThread(name)
        self._waiting: list[_Call[object]] = []
        self._running: _Call[object] | None = None
        self._looks = 0

    def submit(
        self,
        work: Callable[[], T],
        *,
        cost_ns: int,
        done: Callable[[asyncio.Future[T]], None],
        given_up: Callable[[], None],
    ) -> None:
        """Have *work* done, then call *done* with its outcome, or *given_up* instead.

        Of several that wait the one with the least *cost_ns* goes first. So a source that costs
        much gets what the others leave, and none of them waits for more than one call of it.
        """
        self._waiting.append(_Call(cost_ns, work, done, given_up))  # type: ignore[arg-type]
        self._begin()

    def look(self) -> None:
        """Notice a call that does not come back; to be called every tenth of a second."""
        if self._running is None:
            return
        self._looks += 1
        if self._looks < STUCK_LOOKS:
            return
        log.error("decoder stuck, its thread is replaced", extra={"decoder": self._name})
        stuck, self._running = self._running, None
        self._thread.shutdown()
        self._thread = DaemonThread(self._name)
        stuck.given_up()
        self._begin()

    def shutdown(self) -> None:
        """End the thread with the call it has, without waiting for it."""
        self._waiting.clear()
        self._thread.shutdown()

    def _begin(self) -> None:
        if self._running is not None or not self._waiting:
            return
        call = min(self._waiting, key=lambda waiting: waiting.cost_ns)
        self._waiting.remove(call)
        self._running = call
        self._looks = 0
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._thread, call.work).add_done_callback(partial(self._ended, call))

    def _ended(self, call: _Call[object], outcome: asyncio.Future[object]) -> None:
        if self._running is not call:  # it had been given up
            outcome.cancelled() or outcome.exception()
            return
        self._running = None
        self._begin()
        if not outcome.cancelled():
            call.done(outcome)


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
