"""Ends the workers with their control plane, where none can outlive it, as in a container."""

import asyncio
import logging

from worker.errors import LaunchError
from worker.jobs.ports import Launcher

log = logging.getLogger(__name__)

LOOK_S = 0.2


async def drain(launcher: Launcher, within_s: float) -> None:
    """Tell every worker to finish and wait, at most *within_s*, until none runs.

    Their jobs stay live: the next control plane gives them new workers. What is not delivered by
    then waits in the spool.
    """
    try:
        async with asyncio.timeout(within_s):
            while workers := await launcher.running():
                for job_id, attempt in workers:
                    await launcher.stop(job_id, attempt)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        log.error("workers still run", extra={"seconds": within_s})
    except LaunchError as exc:
        log.error("launcher failed", extra={"why": str(exc)})
