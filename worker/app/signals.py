"""Stop signals: the first drains a job, the second aborts it."""

import asyncio
import signal

from worker.core.lifecycle import StopReason
from worker.engine.job import Job

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While inside, the first stop signal drains the job and the second cancels its task."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._seen = 0
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._received)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)

    def used_up(self) -> bool:
        """Whether it was the second signal that cancelled the task; takes that back."""
        if self._seen < 2 or self._task is None:
            return False
        return self._task.uncancel() == 0

    def _received(self) -> None:
        self._seen += 1
        if self._seen == 1:
            self._job.stop(StopReason.SIGNAL)
        elif self._seen == 2 and self._task is not None:
            self._task.cancel()
