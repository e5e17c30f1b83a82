"""What people see of a running job: a progress line on a terminal, JSON lines otherwise.

rich is imported where it is used: a worker without a terminal does not need it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.engine.job import Progress as JobProgress

JSON_EVERY_S = 1.0


@contextmanager
def progress(total_s: float | None) -> Iterator[Callable[[JobProgress], None]]:
    """Shows progress on standard error while inside; *total_s* None when the end is open."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task("joining", total=total_s, facts="")

            def show(now: JobProgress) -> None:
                facts = f"{now.recorded_s:.1f} s, {now.frames} frames, {now.participants} people"
                bar.update(task, description=now.state.value, completed=now.recorded_s, facts=facts)

            yield show
        return
    last_s = -JSON_EVERY_S

    def line(now: JobProgress) -> None:
        nonlocal last_s
        if now.recorded_s - last_s < JSON_EVERY_S:
            return
        last_s = now.recorded_s
        facts = {
            "state": now.state.value,
            "recorded_s": round(now.recorded_s, 1),
            "frames": now.frames,
            "participants": now.participants,
        }
        sys.stderr.write(json.dumps(facts) + "\n")
        sys.stderr.flush()

    yield line


def print_facts(title: str, facts: dict[str, str]) -> None:
    """A small table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    Console().print(table)
