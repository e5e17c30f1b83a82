"""One job from the command line."""

import asyncio

import typer

from worker.app import run_job
from worker.cli import console
from worker.cli.exits import Exit, exit_for_outcome
from worker.cli.heap import Heap
from worker.core.spec import JobSpec
from worker.engine.job import Progress
from worker.settings import Settings


def run_to_the_end(spec: JobSpec, settings: Settings) -> Exit:
    """Record, print where the result is, and say how it ended. Raises `WorkerError`."""
    heap = Heap()
    with console.progress(spec.max_duration_s) as show:

        def progressed(now: Progress) -> None:
            heap.look(now.recorded_s)
            show(now)

        work = run_job(spec, settings, on_progress=progressed)
        if spec.is_rehearsal:
            from worker.testroom.virtual_loop import run_virtual

            # There is no outside world to wait for, so it runs as fast as it encodes.
            outcome = run_virtual(work)
        else:
            outcome = asyncio.run(work)
    typer.echo(str(outcome.result_path))
    if outcome.error is not None:
        typer.echo(f"mixworker: {outcome.error}", err=True)
    return exit_for_outcome(outcome)
