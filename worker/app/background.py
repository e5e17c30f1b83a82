"""Work that goes on beside a job."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Inside, *work* runs; it is cancelled at the end."""
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name=name)
        try:
            yield
        except BaseException as exc:
            # Raised again below: the group would wrap it, and it is none of the group's.
            failure = exc
        finally:
            task.cancel()
    if failure is not None:
        raise failure
