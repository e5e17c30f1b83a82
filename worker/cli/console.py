"""What people see of a running job: a live view on a terminal, JSON lines otherwise.

rich is imported where it is used: a worker without a terminal does not need it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from worker.engine.job import Progress

JSON_EVERY_S = 1.0


@contextmanager
def progress(total_s: float | None) -> Iterator[Callable[[Progress], None]]:
    """Shows progress on standard error while inside; *total_s* None when the end is open."""
    if not sys.stderr.isatty():
        yield JsonLines(sys.stderr)
        return
    from rich.console import Console
    from rich.live import Live

    from worker.cli.live_view import view

    latest: Progress | None = None

    def show(now: Progress) -> None:
        nonlocal latest
        latest = now

    # Drawn by rich's own thread a few times a second, however often the job tells.
    with Live(
        get_renderable=lambda: "joining" if latest is None else view(latest, total_s),
        console=Console(stderr=True),
        transient=True,
    ):
        yield show


class JsonLines:
    """One JSON object a line: each second of recording, and whenever a state changes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last_s = -JSON_EVERY_S
        self._states: tuple[object, ...] = ()

    def __call__(self, now: Progress) -> None:
        """Write *now* if it is time."""
        states = (now.state, *((output.name, output.state) for output in now.outputs))
        if states == self._states and now.recorded_s - self._last_s < JSON_EVERY_S:
            return
        self._last_s, self._states = now.recorded_s, states
        self._out.write(json.dumps(_plain(now)) + "\n")
        self._out.flush()


def _plain(now: Progress) -> dict[str, Any]:
    return {
        "state": now.state.value,
        "recorded_s": round(now.recorded_s, 1),
        "frames": now.frames,
        "participants": now.participants,
        "outputs": [
            {
                "name": output.name,
                "state": output.state,
                "bytes": output.bytes,
                "pending_bytes": output.pending_bytes,
                "lag_s": round(output.lag_s, 1),
                "error": output.error,
            }
            for output in now.outputs
        ],
    }


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
