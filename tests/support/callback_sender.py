"""A process that sends the callbacks of a directory, and dies when and how it is told.

python -m tests.support.callback_sender DIRECTORY [die]
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from tests.support.record_events import story
from worker.api.wire.callback import CallbackFacts, callback_body
from worker.engine.clock import LoopClock
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.notify.event_store import EventStore
from worker.notify.outbox import open_outbox
from worker.notify.post import HttpPost
from worker.notify.target import kept_target


def _unix_s() -> float:
    return datetime.now(UTC).timestamp()


async def _send(directory: Path) -> None:
    target = kept_target(directory)
    assert target is not None
    loop = asyncio.get_running_loop()
    post = HttpPost(
        target.spec,
        dialer=Dialer(Reach.parse(["127.0.0.0/8"])),
        tls=verified_tls(),
        unix_s=_unix_s,
    )
    async with open_outbox(
        directory,
        events=target.spec.events,
        body=partial(callback_body, facts=CallbackFacts(**target.facts)),
        post=post,
        clock=LoopClock(loop),
        unix_s=_unix_s,
        rng=Random(1),
    ) as outbox:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(outbox.run())
            for event in story(2):
                await outbox.publish(event)
            await outbox.settle(round((loop.time() + 10) * 1e9))
            sending.cancel()
        assert outbox.pending == 0


def _die_before_marking(store: EventStore, number: int, fate: object) -> None:
    """Stands in for `EventStore.finish` when the process shall die after its third callback."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    _finish(store, number, fate)  # type: ignore[arg-type]


_finish = EventStore.finish

if __name__ == "__main__":
    if "die" in sys.argv:
        EventStore.finish = _die_before_marking  # type: ignore[method-assign]
    asyncio.run(_send(Path(sys.argv[1])))
