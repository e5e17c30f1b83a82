"""A running job on a terminal: a line about the recording, a line for each of its outputs."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.engine.job import Progress
from worker.ports import OutputProgress

MOST_OUTPUTS = 12
BAR_CELLS = 24
LATE_S = 10.0
"""A destination that is this far behind the recording is shown in yellow."""


def view(now: Progress, total_s: float | None) -> RenderableType:
    """The job as it is *now*; *total_s* None when its end is open."""
    facts = f"{now.participants} people, {now.frames} frames"
    head = Text.assemble(
        (f"{now.state.value:8}", "bold"), _clock(now.recorded_s), " ", _bar(now, total_s), facts
    )
    if not now.outputs:
        return head
    table = Table.grid(padding=(0, 2))
    for output in now.outputs[:MOST_OUTPUTS]:
        table.add_row(*_row(output))
    return Group(head, table)


def _row(output: OutputProgress) -> tuple[Text, ...]:
    style = "red" if output.error else "yellow" if output.lag_s >= LATE_S else ""
    return (
        Text(output.name, style="bold"),
        Text(output.state, style=style),
        Text(_size(output.bytes) if output.bytes else "", justify="right"),
        Text(f"{output.lag_s:.0f} s behind" if output.lag_s >= 1 else "", style=style),
        Text(f"{_size(output.pending_bytes)} to go" if output.pending_bytes else ""),
        Text(output.error or "", style=style, overflow="ellipsis", no_wrap=True),
    )


def _bar(now: Progress, total_s: float | None) -> Text:
    if not total_s:
        return Text("")
    filled = min(BAR_CELLS, int(BAR_CELLS * now.recorded_s / total_s))
    bar = Text("━" * filled, style="green")
    return bar.append("━" * (BAR_CELLS - filled) + " ", style="dim")


def _clock(seconds: float) -> str:
    minutes, rest_s = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest_s:02}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
