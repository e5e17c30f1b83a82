"""What crashed workers left, from the command line."""

from dataclasses import dataclass
from datetime import UTC, datetime

import typer

from worker.app.recovery import recover_spool, salvage_store
from worker.cli.exits import Exit
from worker.settings import Settings

S_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class RecoverOptions:
    """What to recover besides the spool, and how long to try."""

    patience_s: float = 120.0
    """A store that fails for so long is given up."""
    store: str | None = None
    """Where to complete what exists only as parts: `s3://bucket[/prefix]`."""
    location: str = ""
    """Whose endpoint and region are meant, of `[storage.locations]`."""
    older_than_h: float = 24.0
    """Only uploads to which nothing has come for so long."""


DEFAULTS = RecoverOptions()


async def recover_all(settings: Settings, options: RecoverOptions = DEFAULTS) -> Exit:
    """Recover the whole spool, then the store; one line per file. Raises `WorkerError`."""
    is_complete = True
    for each in await recover_spool(settings, patience_s=options.patience_s):
        where = (
            f"{each.location}/{each.file.key}" if each.file and each.location else "in the spool"
        )
        length = f", {each.duration_s:.1f} s" if each.duration_s else ""
        typer.echo(f"{each.name}: {where}{length}" + (f" ({each.error})" if each.error else ""))
        is_complete &= each.error is None
    if options.store is not None:
        quiet_since_unix_s = datetime.now(UTC).timestamp() - options.older_than_h * S_PER_HOUR
        for upload in await salvage_store(
            settings,
            options.store,
            location=options.location,
            quiet_since_unix_s=quiet_since_unix_s,
        ):
            if upload.stored is None:
                typer.echo(f"{upload.key}: left alone ({upload.left_because})")
            else:
                typer.echo(f"{upload.key}: its first {upload.stored.size} bytes, all that came")
    return Exit.FINISHED if is_complete else Exit.DESTINATION
