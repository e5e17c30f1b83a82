"""An event loop whose time jumps to the next timer: a job runs as fast as the machine can.

Time stands still while a thread works for the loop (`run_in_executor`), so the outcome does not
depend on how fast the threads are. Nothing that waits for the outside world may run on it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Waits for real only while a thread is busy; otherwise the waiting time is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.busy = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.busy or timeout is None:
            return super().select(None)
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at time 0 s."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jump.busy += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self._jump.busy -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end in virtual time; the counterpart of `asyncio.run`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
