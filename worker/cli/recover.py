"""What crashed workers left, from the command line."""

import typer

from worker.app.recovery import recover_spool
from worker.cli.exits import Exit
from worker.settings import Settings


async def recover_all(settings: Settings) -> Exit:
    """Recover the whole spool; one line per file. Raises `WorkerError`."""
    is_complete = True
    for each in await recover_spool(settings):
        where = (
            f"{each.location}/{each.file.key}" if each.file and each.location else "in the spool"
        )
        length = f", {each.duration_s:.1f} s" if each.duration_s else ""
        typer.echo(f"{each.name}: {where}{length}" + (f" ({each.error})" if each.error else ""))
        is_complete &= each.error is None
    return Exit.FINISHED if is_complete else Exit.DESTINATION
