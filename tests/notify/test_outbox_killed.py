"""A sender that is killed between sending a callback and taking note of it (fault table, C5)."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

from tests.support.receiver import Receiver, served
from worker.core.spec import CallbackSpec
from worker.notify.target import CallbackTarget, keep_target, kept_target

KEY = "8923ab8c2dcef4538923ab8c2dcef453"
FACTS = {"app_id": "app", "room_id": "room", "stream_name": "stream"}


async def send(directory: Path, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.callback_sender", str(directory), *arguments
    )
    return await process.wait()


async def test_a_killed_sender_repeats_one_event_under_the_same_id(tmp_path):
    async with served(Receiver(KEY)) as receiver:
        keep_target(tmp_path, CallbackTarget(CallbackSpec(receiver.url, KEY), FACTS))

        died = await send(tmp_path, "die")
        told_before = [call.body["event_type"] for call in receiver.accepted]
        lived = await send(tmp_path)

    assert died == -signal.SIGKILL
    assert len(told_before) == 3
    assert lived == 0
    # The successor published everything anew, too, as one that finishes a dead job's work does.
    times = Counter(call.event_id for call in receiver.accepted)
    assert sorted(times.values()) == [1, 1, 1, 1, 2]
    first, second = (call for call in receiver.accepted if times[call.event_id] == 2)
    assert first.raw == second.raw
    assert first.headers["X-Rtc-Rand"] != second.headers["X-Rtc-Rand"]
    assert all(call.signed for call in receiver.accepted)
    unique = list(dict.fromkeys(call.event_id for call in receiver.accepted))
    order = [
        next(call.body["event_type"] for call in receiver.accepted if call.event_id == event_id)
        for event_id in unique
    ]
    assert order == [
        *("RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE") * 2,
        "CLOUD_RECORD_SERVER_OVER",
    ]
    assert kept_target(tmp_path) is None
