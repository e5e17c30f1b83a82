"""A launcher whose workers are entries of a table."""

from collections.abc import Collection
from dataclasses import dataclass, field

from worker.errors import LaunchError
from worker.jobs.ports import Launch, WorkerState


@dataclass
class FakeLauncher:
    workers: dict[tuple[str, int], WorkerState] = field(default_factory=dict)
    launched: list[Launch] = field(default_factory=list)
    signals: list[tuple[str, str, int]] = field(default_factory=list)
    recoveries: int = 0
    failures: list[LaunchError] = field(default_factory=list)
    """What the next launches raise."""

    async def launch(self, launch: Launch) -> None:
        if self.failures:
            raise self.failures.pop(0)
        key = launch.job_id, launch.attempt
        if key not in self.workers:
            self.workers[key] = WorkerState(is_running=True)
            self.launched.append(launch)

    async def look(self, job_id: str, attempt: int) -> WorkerState | None:
        return self.workers.get((job_id, attempt))

    async def running(self) -> Collection[tuple[str, int]]:
        return [key for key, worker in self.workers.items() if worker.is_running]

    async def stop(self, job_id: str, attempt: int) -> None:
        self.signals.append(("stop", job_id, attempt))

    async def kill(self, job_id: str, attempt: int) -> None:
        self.signals.append(("kill", job_id, attempt))
        self.end(job_id, attempt, 137)

    async def forget(self, job_id: str, attempt: int) -> None:
        self.workers.pop((job_id, attempt), None)

    async def recover(self) -> None:
        self.recoveries += 1

    def end(self, job_id: str, attempt: int, exit_code: int | None) -> None:
        self.workers[job_id, attempt] = WorkerState(is_running=False, exit_code=exit_code)
