"""An output may die alone."""

import logging
from collections.abc import Awaitable, Callable

from worker.errors import DestinationError

log = logging.getLogger(__name__)


async def isolate(
    name: str,
    run: Callable[[], Awaitable[None]],
    on_down: Callable[[str, DestinationError], None],
) -> None:
    """Run one sink; report a `DestinationError` instead of raising it.

    Anything else, cancellation included, passes through: a bug ends the job, and a cancelled
    job ends the sink.
    """
    try:
        await run()
    except DestinationError as exc:
        log.warning("sink down", extra={"sink": name, "code": exc.code})
        on_down(name, exc)
