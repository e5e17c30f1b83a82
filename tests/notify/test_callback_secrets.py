"""Neither the key nor the secrets in an address leave through anything but the request line."""

import asyncio
import logging
from functools import partial
from pathlib import Path
from random import Random

from tests.support.receiver import Answering, Receiver, ok, served, slow, status
from tests.support.record_events import story
from worker.api.wire.callback import CallbackFacts, callback_body
from worker.core.spec import CallbackSpec
from worker.engine.clock import LoopClock
from worker.net.dial import Dialer
from worker.net.reach import Reach
from worker.net.tls import verified_tls
from worker.notify.outbox import open_outbox
from worker.notify.post import HttpPost
from worker.notify.target import CallbackTarget, keep_target

KEY = "canary-key-0123456789abcdef0123456789"
TOKEN = "canary-token"


def found(text: str) -> list[str]:
    return [secret for secret in (KEY, TOKEN) if secret in text]


def keepers(directory: Path) -> list[int]:
    """Permissions of the files that hold a secret."""
    return [path.stat().st_mode & 0o777 for path in directory.iterdir() if found(path.read_text())]


async def test_planted_secrets_are_found_nowhere(tmp_path: Path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    faults: list[Answering] = [
        slow(5),
        status(500),
        status(302, Location="/elsewhere"),
        status(429, Retry_After="0"),
        ok,
    ]
    seen: list[str] = []

    async def answer(request):
        return await faults[min(len(receiver.calls) - 1, len(faults) - 1)](request)

    async with served(Receiver(KEY, answer)) as receiver:
        target = CallbackTarget(CallbackSpec(f"{receiver.url}?token={TOKEN}", KEY))
        keep_target(tmp_path, target)
        post = HttpPost(
            target.spec,
            dialer=Dialer(Reach.parse(["127.0.0.0/8"])),
            tls=verified_tls(),
            unix_s=lambda: 0.0,
            timeout_s=0.2,
        )
        async with (
            open_outbox(
                tmp_path,
                events=target.spec.events,
                body=partial(callback_body, facts=CallbackFacts("app", "room", "stream")),
                post=post,
                clock=Hasty(loop),
                unix_s=lambda: 0.0,
                rng=Random(1),
            ) as outbox,
            asyncio.TaskGroup() as group,
        ):
            sending = group.create_task(outbox.run())
            for event in story(1):
                await outbox.publish(event)
            seen += [repr(outbox.progress()), repr(target), repr(vars(outbox)), repr(vars(post))]
            # While it is needed the key is on disk once, for its owner only.
            assert keepers(tmp_path) == [0o600]
            await receiver.heard(3)
            await outbox.settle(round((loop.time() + 20) * 1e9))
            sending.cancel()

    assert len(receiver.calls) == 7
    # The address itself is the receiver's own; the key is in nothing that was sent.
    for call in receiver.calls:
        assert KEY not in repr(call.headers)
        assert found(call.raw.decode()) == []
    logged = [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert any("callback failed" in line for line in logged)
    ours = [line for line in logged if "aiohttp.access" not in line]
    assert keepers(tmp_path) == []
    assert found("\n".join([*ours, *seen, *capfd.readouterr()])) == []


class Hasty(LoopClock):
    """Waits a hundredth of what it is asked for."""

    async def sleep_until_ns(self, deadline_ns: int) -> None:
        now_ns = self.now_ns()
        await super().sleep_until_ns(now_ns + (deadline_ns - now_ns) // 100)
