"""What a control plane throws away: expired tokens, jobs ended long ago, old results."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from worker.app.launching import results_directory
from worker.errors import RecordsDown
from worker.jobs.ports import Records
from worker.settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 600.0
MS_PER_DAY = 86_400_000
KEPT_RESULTS = 1000


async def keep_house(records: Records, settings: Settings, *, unix_ms: Callable[[], int]) -> None:
    """Now and every ten minutes, until cancelled."""
    loop = asyncio.get_running_loop()
    results = Path(results_directory(settings))
    while True:
        now_ms = unix_ms()
        try:
            await records.forget_expired(now_ms)
            before_ms = now_ms - round(settings.control.keep_jobs_days * MS_PER_DAY)
            while await records.forget_jobs(before_ms):
                pass  # some at a time: requests are answered in between
        except RecordsDown as exc:
            log.error("the database does not answer", extra={"why": str(exc)})
        if settings.control.launcher == "subprocess":
            await loop.run_in_executor(None, _prune, results)
        await asyncio.sleep(EVERY_S)


def _prune(results: Path) -> None:
    """Keep the newest."""
    try:
        by_age = sorted(results.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-KEPT_RESULTS]:
            path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("old results stay", extra={"why": exc.strerror})
